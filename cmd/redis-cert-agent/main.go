// Redis-cert-agent keeps the TLS certificate of the redis-servers on this host
// fresh, and proves it by a handshake.
//
//	redis-cert-agent run        what systemd runs
//	redis-cert-agent status     what it last knew
//	redis-cert-agent renew      look now; with --force, a new certificate
//
// Package agent tells how it works; README.md and docs tell how it is used.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/option"
)

const defaultConfig = "/etc/redis-cert-agent/config.yaml"

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2 // the command line, or the text of the configuration: a restart does not help
	exitNoAgent = 3 // status: no agent is running
)

// grace is how long a command may take to end after SIGINT or SIGTERM. Nothing on disk
// depends on an orderly end; at worst a record of a challenge stays in the DNS.
const grace = 10 * time.Second

// init keeps the first thread of the process to main, which does nothing but wait. Linux
// gives a signal of the process to that thread, where it can, and to no other once it has
// chosen; in a thread that waits for a file system that does not answer, the signal stays
// unseen for as long.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		time.AfterFunc(grace, func() {
			complain(os.Stderr, fmt.Errorf("not stopped %s after the signal: something does not end; the process ends without it, and nothing on disk depends on that", grace))
			os.Exit(exitFailed)
		})
	})
	go func() {
		code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}()
	select {}
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
	var exit exitError
	if errors.As(err, &exit) {
		if exit.error != nil {
			complain(stderr, exit.error)
		}
		return exit.code
	}
	complain(stderr, err)
	var usage usageError
	var faults *config.Faults
	if errors.As(err, &usage) || errors.As(err, &faults) && !faults.World {
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

// An exitError has an exit code of its own, and may have nothing more to say.
type exitError struct {
	code int
	error
}

func (e exitError) Error() string {
	if e.error == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.error.Error()
}

// A usageError is a fault of the command line.
type usageError struct{ error }

func newRootCommand() *cobra.Command {
	var path string
	var showVersion bool
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), versionLine())
				return err
			}
			return usageError{errors.New("no command given: see redis-cert-agent --help")}
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	// With cobra's own flag the linker keeps text/template, and 8 MB with it.
	cmd.Flags().BoolVar(&showVersion, "version", false, "print the version")
	cmd.PersistentFlags().StringVarP(&path, "config", "c", defaultConfig, "configuration file")
	cmd.SetFlagErrorFunc(flagError)
	completeConfig(cmd)
	cmd.AddCommand(newInitCommand(&path), newACMECommand(&path), newRunCommand(&path), newRenewCommand(&path), newRotateCommand(&path), newEnrollCommand(&path), newReloadCommand(&path), newStatusCommand(&path),
		newCheckCommand(&path), newDoctorCommand(&path), newNotifyCommand(&path), newCACommand(&path), newVersionCommand())
	return cmd
}

// noArgs refuses arguments that are not flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return usageError{fmt.Errorf("unexpected argument %q: see %s --help", args[0], cmd.CommandPath())}
	}
	meant := ""
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		meant = fmt.Sprintf("did you mean %s? ", strings.Join(near, " or "))
	}
	return usageError{fmt.Errorf("unknown command %q: %ssee %s --help", args[0], meant, cmd.CommandPath())}
}

// flagError says what is wrong with a flag, and which one may be meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := option.Nearest(unknown.GetSpecifiedName(), names); near != "" && unknown.GetSpecifiedShortnames() == "" {
			err = fmt.Errorf("%w: did you mean --%s?", err, near)
			return usageError{fmt.Errorf("%w see %s --help", err, cmd.CommandPath())}
		}
	}
	return usageError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
}
