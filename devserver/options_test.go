package main

import (
	"strings"
	"testing"

	"go.temporal.io/api/enums/v1"
)

func TestSDKArgumentsAreAccepted(t *testing.T) {
	o, err := parseOptions(strings.Fields(
		"--port 7 --namespace default --ip 127.0.0.1 --log-format pretty --log-level warn" +
			" --dynamic-config-value frontend.enableUpdateWorkflowExecution=true --headless" +
			" --db-filename x.db --search-attribute Kind=keywordlist --exit-with-parent=12"))
	if err != nil {
		t.Fatal(err)
	}
	if o.port != 7 || !o.headless || o.dbFile != "x.db" || len(o.namespaces) != 1 || o.parent.pid != 12 {
		t.Errorf("wrong options: %+v", o)
	}
	if o.searchAttributes["Kind"] != enums.INDEXED_VALUE_TYPE_KEYWORD_LIST {
		t.Errorf("wrong type: %v", o.searchAttributes)
	}
}

func TestBadArgumentsAreExplained(t *testing.T) {
	for arguments, want := range map[string]string{
		"--nope":                           "unknown flag --nope",
		"extra":                            `unexpected argument "extra"`,
		"--ip nowhere":                     "not an IP address",
		"--log-level loud":                 "--log-level",
		"--search-attribute Kind=Blob":     "Bool, Datetime, Double",
		"--search-attribute RunId=Keyword": "belongs to Temporal",
		"--sqlite-pragma _synchronous=1":   "write name=value",
		"--dynamic-config-value a.b=10ms":  `a.b="10ms"`,
		"--dynamic-config-value a.b":       "write key=value",
		"--exit-with-parent=me":            "not a process id",
	} {
		_, err := parseOptions(strings.Fields(arguments))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", arguments, err, want)
		}
	}
}

func TestDynamicConfigValuesAreWhatTheServerExpects(t *testing.T) {
	values, err := parseDynamicConfig([]string{"n=5", "f=0.5", "s=\"10ms\"", "b=true", "n=6"})
	if err != nil {
		t.Fatal(err)
	}
	if values["n"] != 6 || values["f"] != 0.5 || values["s"] != "10ms" || values["b"] != true {
		t.Errorf("got %#v", values)
	}
}

func TestSearchAttributesKeepTheirColumns(t *testing.T) {
	keyword, number := enums.INDEXED_VALUE_TYPE_KEYWORD, enums.INDEXED_VALUE_TYPE_INT
	first, err := assignFields(nil, map[string]enums.IndexedValueType{"B": keyword})
	if err != nil || first["Keyword01"] != "B" {
		t.Fatalf("got %v, %v", first, err)
	}
	both := map[string]enums.IndexedValueType{"A": keyword, "B": keyword, "N": number}
	second, err := assignFields(first, both)
	if err != nil || second["Keyword01"] != "B" || second["Keyword02"] != "A" || second["Int01"] != "N" {
		t.Errorf("got %v, %v", second, err)
	}
	if _, err := assignFields(second, map[string]enums.IndexedValueType{"N": keyword}); err == nil {
		t.Error("a changed type must be refused")
	}
	many := map[string]enums.IndexedValueType{"A": number, "B": number, "C": number, "D": number}
	if _, err := assignFields(nil, many); err == nil {
		t.Error("a fourth Int must be refused")
	}
}
