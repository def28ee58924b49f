package main

import (
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"go.temporal.io/server/common/headers"
)

// versionLine names what the binary was built from.
func versionLine() string {
	ui := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if strings.HasPrefix(module.Path, "github.com/temporalio/ui-server/") {
				ui = strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return fmt.Sprintf("callboard devserver (Server %s, UI %s)", headers.ServerVersion, ui)
}

func (o *options) printBanner(w io.Writer) {
	store := o.dbFile
	if store == "" {
		store = "in memory"
	}
	fmt.Fprintln(w, versionLine())
	fmt.Fprintf(w, "%-10s %s\n", "Server:", address(o.ip, o.port))
	fmt.Fprintf(w, "%-10s %s\n", "HTTP:", address(o.ip, o.httpPort))
	if !o.headless {
		fmt.Fprintf(w, "%-10s http://%s%s\n", "UI:", address(o.uiIP, o.uiPort), o.publicPath)
	}
	if o.metricsPort != 0 {
		fmt.Fprintf(w, "%-10s http://%s/metrics\n", "Metrics:", address(o.ip, o.metricsPort))
	}
	fmt.Fprintf(w, "%-10s %s\n", "Store:", store)
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, usage)
	var lists listFlag
	flagSet(&options{}, &lists, &lists, &lists).VisitAll(func(f *flag.Flag) {
		if len(f.Name) > 1 {
			value, text := flag.UnquoteUsage(f)
			fmt.Fprintf(w, "  --%-32s %s\n", strings.TrimSpace(f.Name+" "+value), text)
		}
	})
}
