// Loads a compose file as the compose command does, checks it against the compose
// specification's JSON schema and for consistency, and prints the resolved project as JSON.
//
// Usage: compose <file> [NAME=value …]; the pairs are the environment that it is resolved with.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: compose <file> [NAME=value …]")
	}
	options, err := cli.NewProjectOptions(
		[]string{args[0]},
		cli.WithWorkingDirectory(filepath.Dir(args[0])),
		cli.WithEnv(args[1:]),
		cli.WithProfiles([]string{"*"}),
		cli.WithInterpolation(true),
		cli.WithConsistency(true),
	)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(project)
}
