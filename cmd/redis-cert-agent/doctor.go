package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/doctor"
)

func newDoctorCommand(path *string) *cobra.Command {
	var asJSON bool
	var bundle string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything that a renewal needs, and say what to do",
		Long: `Look at every precondition, from the configuration to the proof by a handshake, and
say of each whether it is ok, a warning or a fault, what was found, and what to do.
Nothing is issued, loaded or changed. It works with a running agent, which looks for
itself then, and without one. As root it sees most.

The exit code tells the cause of the first fault: 10 the configuration or its secrets,
11 the unit or the agent, 12 the host (clock, disk, SELinux, inotify), 13 the authority
or the proof of names, 14 rights on files, 15 a Redis, 16 another program that renews
the same pair, 17 who is to be told, 18 what the servers show. It is 0 when there is
none, also with warnings.`,
		Example: `  sudo redis-cert-agent doctor
  sudo redis-cert-agent doctor --bundle report.txt     # for a bug report
  sudo redis-cert-agent doctor --json | jq '.lines[] | select(.state != "ok")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDoctor(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *path, asJSON, bundle)
		},
	}
	cmd.Flags().StringVar(&bundle, "bundle", "", "write all that a bug report needs to this `FILE`, without secrets")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func runDoctor(ctx context.Context, w, talk io.Writer, path string, asJSON bool, bundle string) error {
	o := doctor.Options{Config: path, Version: releaseVersion()}
	p := waiting(talk, "looking")
	if !asJSON {
		o.Each = func(l doctor.Line) {
			p.aside(func() { _ = l.WriteText(w, isColourful(w)) }) // the summary's error is the same
		}
	}
	r := doctor.Run(ctx, o)
	p.clear()
	var err error
	if asJSON {
		err = printJSON(w, r)
	} else {
		err = r.WriteSummary(w, isColourful(w))
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if bundle != "" {
		if err := writeNew(bundle, r.Bundle(ctx, o)); err != nil {
			return err
		}
		fmt.Fprintf(talk, "%s has all of this, the status, the last events and the configuration, and no secret that is known: read it before you send it\n", bundle)
	}
	switch {
	case r.Exit != 0:
		return exitError{code: r.Exit} // the lines have said why
	}
	return nil
}

// writeNew writes a file that is not there yet, for its owner alone.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the bundle: %w; name a file that is not there yet", err)
	}
	_, err = f.Write(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
