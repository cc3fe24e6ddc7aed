package main

import (
	"fmt"

	"redis-cert-agent/cmd/internal/shell"
)

// parses says whether the program takes such a command line: there is such a command, with
// such flags, and as many arguments.
func parses(line shell.Command) error {
	root := newRootCommand()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(line[1:])
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	if cmd.Args == nil {
		return nil
	}
	if err := cmd.Args(cmd, cmd.Flags().Args()); err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}
