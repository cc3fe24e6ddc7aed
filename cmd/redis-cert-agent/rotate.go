package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/status"
)

func newRotateCommand(path *string) *cobra.Command {
	reason := "keyCompromise"
	var r control.Rotate
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Give up every key after a compromise: new ones, the old certificates revoked, the old keys destroyed",
		Long: `Give up every private key that is on disk, as after somebody may have read them. The
running agent does it; when none runs, this command does it itself, under the same lock.

First there is a certificate with a new key. The servers load it one after the other,
each proven by a handshake: where the first one does not prove it, the old one goes back
there, and no other server is asked. When every server is proven, the old certificates
are revoked at the CA that issued them, and then the old keys destroyed, copies in the
agent's directory included. The pairs of clients (pairs: in the configuration) follow.
From the beginning on, a certificate with an old key is distrusted: a server is sent one
reload although it shows one, and nothing after that.

What cannot be done now is not lost: exit code 1 says what is missing. The agent goes on
with it by itself, also after a restart, and another run goes on where this one stopped.`,
		Example: `  redis-cert-agent rotate
  redis-cert-agent rotate --yes --json              # for automation
  redis-cert-agent rotate --reason superseded       # no compromise: a precaution
  redis-cert-agent rotate --revoke-first            # do not wait for a server that is down`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			code, ok := revocationReasons[reason]
			if !ok {
				return usageError{fmt.Errorf("%q is no reason; write unspecified, keyCompromise, superseded or cessationOfOperation", reason)}
			}
			if r.Reason = code; r.NoRevoke && r.RevokeFirst {
				return usageError{errors.New("--no-revoke revokes nothing, and --revoke-first does: give one of them")}
			}
			talk := cmd.OutOrStdout()
			if asJSON {
				talk = cmd.ErrOrStderr()
			}
			if !yes {
				if err := confirmRotation(cmd.ErrOrStderr(), r); err != nil {
					return err
				}
			}
			p := waiting(cmd.ErrOrStderr(), "rotating")
			done, err := askToRotate(cmd.Context(), *path, r, func(text string) { p.aside(func() { fmt.Fprintln(talk, text) }) })
			p.clear()
			return showRotation(cmd.OutOrStdout(), done, err, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&reason, "reason", reason, "why the certificates are revoked: unspecified, keyCompromise, superseded or cessationOfOperation")
	f.BoolVar(&r.NoRevoke, "no-revoke", false, "do not revoke the old certificates")
	f.BoolVar(&r.RevokeFirst, "revoke-first", false, "revoke as soon as there is a new certificate, also while a server shows the old one")
	f.StringVar(&r.Pair, "pair", "", "only the pair of a client, by its name")
	completePairs(cmd, path)
	completeWords(cmd, "reason", slices.Sorted(maps.Keys(revocationReasons))...)
	f.BoolVar(&yes, "yes", false, "do not ask")
	f.BoolVar(&asJSON, "json", false, "print what came of it as JSON; what happens meanwhile goes to standard error")
	return cmd
}

// confirmRotation asks a person.
func confirmRotation(w io.Writer, r control.Rotate) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return usageError{errors.New("nobody is there to say yes: add --yes")}
	}
	what := "every redis-server and client of the configuration gets a new key"
	if r.Pair != "" {
		what = "the pair " + r.Pair + " gets a new key"
	}
	if !r.NoRevoke {
		what += ", the old certificates are revoked"
	}
	fmt.Fprintf(w, "%s, and the old keys are destroyed: none of this can be undone.\n", what)
	return confirm(w, "Go on?")
}

// askToRotate has the running agent replace the keys, or does it where none runs.
func askToRotate(ctx context.Context, path string, r control.Rotate, say func(string)) ([]status.Rotation, error) {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return nil, err
	}
	running := control.Dial(c.Control)
	done, err := running.Rotate(ctx, r, say)
	if errors.Is(err, control.ErrNotRunning) {
		if c, err = config.Load(path); err != nil {
			return nil, err
		}
		done, err = daemon.New(c, releaseVersion(), slog.New(slog.DiscardHandler)).RotateOnce(ctx, r, say)
	}
	if errors.Is(err, pair.ErrLocked) && answersSoon(ctx, running) {
		done, err = running.Rotate(ctx, r, say)
	}
	return done, err
}

// showRotation prints what came of a rotation.
func showRotation(w io.Writer, done []status.Rotation, failed error, asJSON bool) error {
	if asJSON {
		if err := printJSON(w, append([]status.Rotation{}, done...)); err != nil { // [] rather than null
			return err
		}
		return failed
	}
	for _, r := range done {
		if r.Done {
			if _, err := fmt.Fprintln(w, rotationLine(r)); err != nil {
				return err
			}
		}
	}
	return failed
}

func rotationLine(r status.Rotation) string {
	parts := []string{fmt.Sprintf("serial %s has the new key, valid until %s", r.Serial, plain.Time(r.NotAfter))}
	if r.Pair != "" {
		parts[0] = "pair " + r.Pair + ": " + parts[0]
	}
	if len(r.Revoked) > 0 {
		parts = append(parts, "revoked "+strings.Join(r.Revoked, ", "))
	}
	if len(r.Kept) > 0 {
		parts = append(parts, "not revoked "+strings.Join(r.Kept, ", "))
	}
	return strings.Join(append(parts, fmt.Sprintf("old keys destroyed: %d", r.Destroyed)), "; ")
}
