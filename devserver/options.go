package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/searchattribute/sadefs"
)

// parentEnv holds a process id and does what --exit-with-parent=PID does. A
// launcher can set it whatever binary it starts, since others ignore it.
const parentEnv = "CALLBOARD_EXIT_WITH_PARENT"

// options are the parsed flags. A port is 0 where none was given, until
// resolvePorts.
type options struct {
	ip, uiIP                               string
	port, httpPort, uiPort, metricsPort    int
	headless                               bool
	publicPath, uiAssetPath, codecEndpoint string
	dbFile                                 string
	namespaces                             []string
	logLevel, logFormat                    string
	logConfig                              bool
	dynamicConfig                          map[string]any
	searchAttributes                       map[string]enums.IndexedValueType
	sqlitePragmas                          map[string]string
	parent                                 parentFlag
}

// flagSet declares every flag. Repeatable flags collect into lists, which
// parseOptions turns into values.
func flagSet(o *options, dynamic, attributes, pragmas *listFlag) *flag.FlagSet {
	f := flag.NewFlagSet("server start-dev", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.ip, "ip", "127.0.0.1", "`address` of the gRPC service")
	f.IntVar(&o.port, "port", 7233, "`port` of the gRPC service")
	f.IntVar(&o.port, "p", 7233, "short for --port")
	f.IntVar(&o.httpPort, "http-port", 0, "`port` of the HTTP API (default: a free one)")
	f.IntVar(&o.metricsPort, "metrics-port", 0, "`port` of /metrics (default: no metrics)")
	f.BoolVar(&o.headless, "headless", false, "no web UI")
	f.StringVar(&o.uiIP, "ui-ip", "", "`address` of the web UI (default: --ip)")
	f.IntVar(&o.uiPort, "ui-port", 0, "`port` of the web UI (default: --port + 1000)")
	f.StringVar(&o.publicPath, "ui-public-path", "", "base `path` of the web UI")
	f.StringVar(&o.uiAssetPath, "ui-asset-path", "", "`folder` of other UI assets")
	f.StringVar(&o.codecEndpoint, "ui-codec-endpoint", "", "`URL` of a codec server")
	f.Bool("ui-disable-news-fetch", true, "accepted; the UI never fetches news here")
	f.StringVar(&o.dbFile, "db-filename", "", "SQLite `file` (default: in memory)")
	f.StringVar(&o.dbFile, "f", "", "short for --db-filename")
	namespaces := (*listFlag)(&o.namespaces)
	f.Var(namespaces, "namespace", "`name` to create besides \"default\"; repeatable")
	f.Var(namespaces, "n", "short for --namespace")
	f.StringVar(&o.logLevel, "log-level", "warn", "`level`: debug, info, warn, error, never")
	f.StringVar(&o.logFormat, "log-format", "pretty", "`format`: pretty, text or json")
	f.BoolVar(&o.logConfig, "log-config", false, "print the server's configuration")
	f.Var(dynamic, "dynamic-config-value", "`key=JSON`; repeatable")
	f.Var(attributes, "search-attribute", "`name=type` to register; repeatable")
	f.Var(pragmas, "sqlite-pragma", "`name=value`; repeatable")
	f.Var(&o.parent, "exit-with-parent", "stop when the parent process (or `pid`) is gone")
	return f
}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	var dynamic, attributes, pragmas listFlag
	f := flagSet(o, &dynamic, &attributes, &pragmas)
	if err := f.Parse(args); err != nil {
		return nil, friendly(err)
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q after server start-dev", f.Arg(0))
	}
	if pid := os.Getenv(parentEnv); pid != "" && !o.parent.set {
		if err := o.parent.Set(pid); err != nil {
			return nil, fmt.Errorf("%s: %w", parentEnv, err)
		}
	}
	var err error
	if o.dynamicConfig, err = parseDynamicConfig(dynamic); err != nil {
		return nil, err
	}
	if o.searchAttributes, err = parseSearchAttributes(attributes); err != nil {
		return nil, err
	}
	if o.sqlitePragmas, err = parsePragmas(pragmas); err != nil {
		return nil, err
	}
	return o, o.validate()
}

func (o *options) validate() error {
	if o.uiIP == "" {
		o.uiIP = o.ip
	}
	for name, address := range map[string]*string{"ip": &o.ip, "ui-ip": &o.uiIP} {
		if *address == "localhost" {
			*address = loopback
		}
		if net.ParseIP(*address) == nil {
			return fmt.Errorf("--%s %q is not an IP address", name, *address)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error", "never"}, o.logLevel) {
		return fmt.Errorf("--log-level %q: use debug, info, warn, error or never", o.logLevel)
	}
	if !slices.Contains([]string{"pretty", "text", "json"}, o.logFormat) {
		return fmt.Errorf("--log-format %q: use pretty, text or json", o.logFormat)
	}
	o.namespaces = append([]string{"default"}, o.namespaces...)
	slices.Sort(o.namespaces)
	o.namespaces = slices.Compact(o.namespaces)
	return nil
}

// friendly turns the flag package's wording into ours.
func friendly(err error) error {
	const unknown = "flag provided but not defined: "
	if name, found := strings.CutPrefix(err.Error(), unknown); found {
		return fmt.Errorf("unknown flag -%s (see --help)", name)
	}
	return err
}

func parseSearchAttributes(pairs []string) (map[string]enums.IndexedValueType, error) {
	attributes := map[string]enums.IndexedValueType{}
	for _, pair := range pairs {
		name, kind, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("--search-attribute %q: write name=type", pair)
		}
		if sadefs.IsReserved(name) {
			return nil, fmt.Errorf("--search-attribute %q: the name belongs to Temporal", name)
		}
		types := enums.IndexedValueType_shorthandValue
		for known, value := range types {
			if strings.EqualFold(kind, known) && value != 0 {
				attributes[name] = enums.IndexedValueType(value)
			}
		}
		if attributes[name] == 0 {
			accepted := slices.DeleteFunc(slices.Sorted(maps.Keys(types)),
				func(name string) bool { return types[name] == 0 })
			return nil, fmt.Errorf("--search-attribute %q: the type is one of %s",
				pair, strings.Join(accepted, ", "))
		}
	}
	return attributes, nil
}

// parsePragmas refuses leading underscores: SQLite ignores names that it does
// not know, so a file asked for as _journal_mode=wal would stay without WAL.
func parsePragmas(pairs []string) (map[string]string, error) {
	pragmas := map[string]string{}
	for _, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" || strings.HasPrefix(name, "_") {
			return nil, fmt.Errorf("--sqlite-pragma %q: write name=value, such as synchronous=FULL", pair)
		}
		pragmas[strings.ToLower(name)] = value
	}
	return pragmas, nil
}

// listFlag collects a repeatable flag.
type listFlag []string

func (l *listFlag) String() string { return "" }

func (l *listFlag) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// parentFlag is --exit-with-parent, alone or with a process id.
type parentFlag struct {
	set bool
	pid int // 0: whoever the parent is at start
}

func (p *parentFlag) String() string   { return "" }
func (p *parentFlag) IsBoolFlag() bool { return true }

func (p *parentFlag) Set(value string) error {
	if on, err := strconv.ParseBool(value); err == nil && value != "1" && value != "0" {
		p.set = on
		return nil
	}
	pid, err := strconv.Atoi(value)
	if err != nil || pid < 1 {
		return fmt.Errorf("%q is not a process id", value)
	}
	p.set, p.pid = true, pid
	return nil
}
