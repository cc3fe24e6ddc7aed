// Redis-cert-ca is a private certificate authority in one binary, for hosts
// that have none: a step-ca with a JWK and an ACME provisioner.
//
//	redis-cert-ca init --dns ca.internal
//	redis-cert-ca run
//	redis-cert-ca rotate add
//
// See package authority for what stands in its directory, and how to move from
// it to step-ca proper.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/spf13/cobra"
)

const defaultDir = "/var/lib/redis-cert-ca"

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run carries out the command in args. It writes answers to stdout, talk and
// errors to stderr, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "redis-cert-ca: %s\n", line)
	}
	var usage usageError
	var options authority.OptionError
	if errors.As(err, &usage) || errors.As(err, &options) {
		return exitUsage
	}
	return exitFailed
}

// usageError is a fault of the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func newRootCommand() *cobra.Command {
	var showVersion bool
	cmd := &cobra.Command{
		Use:   "redis-cert-ca",
		Short: "A private certificate authority for Redis hosts",
		Long: `A private certificate authority for Redis hosts: a step-ca in one binary.

Its directory holds step-ca's own configuration, keys and database. To move to
step-ca proper, stop this program and run, as the same user:

  step-ca --password-file DIR/secrets/password DIR/config/ca.json`,
		Example: `  redis-cert-ca init --dns ca.internal
  redis-cert-ca run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return printVersion(cmd)
			}
			return usageError{errors.New("no command given: see redis-cert-ca --help")}
		},
		SuggestionsMinimumDistance: 2,

		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.Flags().BoolVar(&showVersion, "version", false, "print the version")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
	})
	cmd.AddCommand(newInitCommand(), newRunCommand(), newRotateCommand(), newVersionCommand())
	return cmd
}

// noArgs refuses arguments that are not flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasParent() {
		return usageError{fmt.Errorf("unexpected argument %q: see %s --help", args[0], cmd.CommandPath())}
	}
	meant := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		meant = fmt.Sprintf("did you mean %s? ", strings.Join(near, " or "))
	}
	return usageError{fmt.Errorf("unknown command %q: %ssee %s --help", args[0], meant, cmd.CommandPath())}
}

// addDirFlag gives cmd the flag that all commands share.
func addDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", defaultDir, "directory of the certificate authority")
}
