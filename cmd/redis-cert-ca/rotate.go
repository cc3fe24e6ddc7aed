package main

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"redis-cert-agent/agent/plain"
	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/spf13/cobra"
)

func newRotateCommand() *cobra.Command {
	var dir string
	var force bool
	cmd := &cobra.Command{
		Use:   "rotate [add|use|retire]",
		Short: "Move to a new root, in three steps",
		Long: `Move to a new root, in three steps, without a host that is ever refused:

  add     make a second root, which hosts are told to trust as well
  use     sign below the new root; the old one remains trusted
  retire  no longer trust the old root

Each step changes config/ca.json, takes effect when the authority is restarted,
and prints what to do next. The next step is safe one longest lifetime of a
certificate after that restart, when every agent has renewed, and is refused
before. You may stop between steps for as long as you like. Without a step this
prints how far the rotation has come.

Agents learn of a new root within a day, or at their next renewal, and put it into
their ca.crt, which every server loads before a certificate of that root. Clients of
Redis that keep a copy of it must be given the new one, before "use".`,
		Example: `  redis-cert-ca rotate add && systemctl restart redis-cert-ca
  redis-cert-ca rotate`,
		ValidArgs: []string{"add", "use", "retire"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument %q: see redis-cert-ca rotate --help", args[1])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := rotate(dir, append(args, "")[0], force)
			if err != nil {
				return err
			}
			return writeRotation(cmd.OutOrStdout(), r)
		},
	}
	addDirFlag(cmd, &dir)
	cmd.Flags().BoolVar(&force, "force", false, "take the step before the time to renew has passed: every host has renewed, as you have seen")
	return cmd
}

// rotate takes a step; none if it is "".
func rotate(dir, step string, force bool) (*authority.Rotation, error) {
	switch step {
	case "":
		return authority.ReadRotation(dir)
	case "add":
		return authority.AddRoot(dir)
	case "use":
		return authority.UseRoot(dir, force)
	case "retire":
		return authority.RetireRoot(dir, force)
	}
	return nil, usageError{fmt.Errorf("unknown step %q: one of add, use and retire", step)}
}

// writeRotation writes the roots, and what to do next.
func writeRotation(w io.Writer, r *authority.Rotation) error {
	var b bytes.Buffer
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(state string, root authority.Root) {
		fmt.Fprintf(tw, "%s\t%s\tuntil %s\t%s\n", state, root.Fingerprint, root.Cert.NotAfter.UTC().Format(time.DateOnly), root.File)
	}
	row("in use", r.InUse)
	if r.Added != nil {
		row("added", *r.Added)
	}
	for _, root := range r.Old {
		row("old", root)
	}
	tw.Flush() // to a buffer: cannot fail
	fmt.Fprintln(&b)
	writeNext(&b, r)
	_, err := w.Write(b.Bytes())
	return err
}

// writeNext writes what comes next in a rotation, and when that is safe.
func writeNext(b *bytes.Buffer, r *authority.Rotation) {
	restart := "Restart the authority: systemctl restart redis-cert-ca\n"
	if !r.Since.IsZero() {
		restart = fmt.Sprintf("The authority serves these roots since %s.\n", plain.Stamp(r.Since))
	}
	when := fmt.Sprintf("%s after the restart", plain.Span(r.Wait))
	if safe := r.Since.Add(r.Wait); !r.Since.IsZero() {
		when = "from " + plain.Stamp(safe) + " on"
	}
	switch {
	case r.Added != nil:
		fmt.Fprintf(b, `%sAgents then learn of the added root, within a day or as they renew: redis-cert-agent
status lists it on each host, and says when every server there has loaded it.
Give it to clients of Redis that keep a CA file of their own: %s

Next, safe %s: redis-cert-ca rotate use
`, restart, r.Added.File, when)
	case len(r.Old) > 0:
		fmt.Fprintf(b, `%sNew certificates then come from the root in use; agents that run follow by themselves.
Configure its fingerprint for hosts to come, and for agents that were off meanwhile.

Next, safe %s: redis-cert-ca rotate retire
`, restart, when)
	case r.Since.IsZero():
		fmt.Fprint(b, restart, "Then one root is trusted. To begin a rotation: redis-cert-ca rotate add\n")
	default:
		fmt.Fprint(b, "One root is trusted. To begin a rotation: redis-cert-ca rotate add\n")
	}
}
