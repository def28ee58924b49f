// Command devserver is a Temporal development server: frontend, history,
// matching and worker in one process on SQLite, with the web UI.
//
// It takes the flags of `temporal server start-dev`, so that a Temporal SDK's
// "existing dev server path" runs it unchanged. Its defaults are those of a
// single-user server: short waits, exact timers, one task queue partition
// (see dynamicconfig.go). Exit codes: 0 stopped, 1 could not start or failed,
// 2 bad usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// drainTime is how long requests in flight are waited for at the end. The
// services alone would take over a second, and a command that embeds this
// server would end that much later. Nothing is lost: whatever was acknowledged
// is in SQLite, and the rest is what clients retry.
const drainTime = 300 * time.Millisecond

const usage = `A Temporal development server on SQLite.

usage:
  devserver server start-dev [flags]
  devserver version

flags of server start-dev:
`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	command := strings.Join(args, " ")
	switch {
	case command == "version", command == "--version", command == "-v":
		fmt.Println(versionLine())
		return 0
	case len(args) >= 2 && args[0] == "server" && args[1] == "start-dev":
		return startDev(args[2:])
	case command == "" || command == "help" || command == "--help" || command == "-h":
		printUsage(os.Stdout)
		return 0
	}
	return fail(2, fmt.Errorf("unknown command %q: use server start-dev, or version", command))
}

func startDev(args []string) int {
	opts, err := parseOptions(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		printUsage(os.Stdout)
		return 0
	case err != nil:
		return fail(2, err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	if err := opts.resolvePorts(); err != nil {
		return fail(1, err)
	}
	s, err := newServer(opts)
	if err != nil {
		return fail(1, err)
	}
	if err := s.start(); err != nil {
		return fail(1, err)
	}
	opts.printBanner(os.Stdout)

	select {
	case <-stop:
	case <-parentExit(opts.parent):
	case err := <-s.uiFailed:
		return fail(1, fmt.Errorf("the web UI stopped: %w", err))
	}
	drained := make(chan error, 1)
	go func() { drained <- s.stop() }()
	select {
	case err := <-drained:
		if err != nil {
			return fail(1, err)
		}
	case <-time.After(drainTime):
	}
	return 0
}

func fail(code int, err error) int {
	fmt.Fprintf(os.Stderr, "devserver: %v\n", err)
	return code
}
