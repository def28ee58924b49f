package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.temporal.io/server/common/dynamicconfig"
)

// defaultDynamicConfig makes a server of one shard and one user quick. Each
// value can be replaced by --dynamic-config-value.
var defaultDynamicConfig = map[string]any{
	// The default of 20 polls a second is per shard, and there is one shard:
	// every hop of a busy workflow would wait 40 ms.
	"history.transferProcessorMaxPollRPS":   5000,
	"history.timerProcessorMaxPollRPS":      5000,
	"history.visibilityProcessorMaxPollRPS": 5000,
	"history.outboundProcessorMaxPollRPS":   5000,
	// The default of 1 s is a floor under every timer and retry.
	"history.timerProcessorMaxTimeShift": "10ms",
	// Cancellation reaches an activity at once instead of at its next heartbeat.
	"frontend.workerCommandsEnabled":           true,
	"system.enableCancelActivityWorkerCommand": true,
	// One partition keeps priorities exact and rates even.
	"matching.numTaskqueueReadPartitions":  1,
	"matching.numTaskqueueWritePartitions": 1,
	"matching.enableFairness":              true,
	// New search attributes and Nexus endpoints show at once. Reading them from
	// the database each time needs the higher limits.
	"system.forceSearchAttributesCacheRefreshOnRead": true,
	"system.forceNexusEndpointRefreshOnRead":         true,
	"frontend.persistenceMaxQPS":                     10000,
	"history.persistenceMaxQPS":                      45000,
	"frontend.namespaceRPS.visibility":               100,
	"history.hostLevelCacheMaxSize":                  8096,
	// Nothing is sent outside.
	"frontend.enableServerVersionCheck": false,
}

// parseDynamicConfig reads key=JSON pairs, later ones winning.
func parseDynamicConfig(pairs []string) (map[string]any, error) {
	values := map[string]any{}
	for _, pair := range pairs {
		key, text, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, fmt.Errorf("--dynamic-config-value %q: write key=value", pair)
		}
		value, err := parseJSON(text)
		if err != nil {
			return nil, fmt.Errorf(
				"--dynamic-config-value %q: the value is not JSON (a string needs quotes: %s=%q)",
				pair, key, text)
		}
		values[key] = value
	}
	return values, nil
}

// parseJSON decodes one value. Whole numbers become int, the only number type
// that the server's integer settings accept.
func parseJSON(text string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, fmt.Errorf("text after the value")
	}
	number, isNumber := value.(json.Number)
	if !isNumber {
		return value, nil
	}
	if whole, err := number.Int64(); err == nil {
		return int(whole), nil
	}
	return number.Float64()
}

func dynamicConfigClient(given map[string]any) dynamicconfig.StaticClient {
	client := dynamicconfig.StaticClient{}
	for _, values := range []map[string]any{defaultDynamicConfig, given} {
		for key, value := range values {
			client[dynamicconfig.MakeKey(key)] = value
		}
	}
	return client
}
