// Redis-cert-agent keeps the TLS certificate of the redis-servers on this host
// fresh, and proves it by a handshake.
//
//	redis-cert-agent run        what systemd runs
//	redis-cert-agent status     what it last knew
//	redis-cert-agent renew      look now; with --force, a new certificate
//
// Package agent tells how it works; docs in README.md tell how it is used.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/config"
)

const defaultConfig = "/etc/redis-cert-agent/config.yaml"

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // of the command line or the configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run carries out the command in args. Answers go to stdout, talk and errors to
// stderr. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newRootCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var said verdict
	if errors.As(err, &said) {
		return int(said)
	}
	complain(stderr, err)
	var usage usageError
	var faults *config.Faults
	if errors.As(err, &usage) || errors.As(err, &faults) {
		return exitUsage
	}
	return exitFailed
}

// complain writes an error, each of its lines with the name of the program.
func complain(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "redis-cert-agent: %s\n", line)
	}
}

// A usageError is a fault of the command line.
type usageError struct{ error }

func newRootCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "redis-cert-agent",
		Short: "Keep redis-server's TLS certificate fresh",
		Long: `Keep redis-server's TLS certificate fresh: renew it at two-thirds of its
lifetime, switch certificate and key together, make redis load them, and prove
it by a handshake.`,
		Example: `  redis-cert-agent run --config /etc/redis-cert-agent/config.yaml
  redis-cert-agent status
  redis-cert-agent renew --force`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("no command given: see redis-cert-agent --help")}
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.PersistentFlags().StringVarP(&path, "config", "c", defaultConfig, "configuration file")
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
	})
	cmd.AddCommand(newRunCommand(&path), newRenewCommand(&path), newReloadCommand(&path), newStatusCommand(&path), newCheckCommand(&path), newNotifyCommand(&path), newVersionCommand())
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
	return usageError{fmt.Errorf("unknown command %q: see %s --help", args[0], cmd.CommandPath())}
}
