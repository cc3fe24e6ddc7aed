package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/setup"
)

// initOptions are the flags of init.
type initOptions struct {
	setup.Options
	step, acme                         string
	provisionerPassword, redisPassword string // files
	from                               string
	yes, undo                          bool
	places                             discover.Places
}

func newInitCommand(path *string) *cobra.Command {
	o := initOptions{places: discover.Usual()}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Set up this host: configuration, secrets, unit and, if you want, Redis",
		Long: `Set up this host: find its redis-servers, write the configuration and the secrets,
start the agent, wait until it has the first certificate, and let "doctor" look at all
of it, whose exit code it returns. What is to be done is shown first, and a person says
yes. On a terminal, what no flag says is asked.

Running servers are only changed with --apply: one that serves no TLS yet gets a TLS
port beside its own, with CONFIG SET and CONFIG REWRITE. A server that serves TLS
already keeps its files where they are, if nothing else is in their directory; the
agent then replaces them there.

A second run changes nothing, and one that was interrupted goes on. --undo takes
back what was done.`,
		Example: `  redis-cert-agent init --step https://ca.internal:9000 --name redis1.internal --apply
  redis-cert-agent init --acme https://acme-v02.api.letsencrypt.org/directory --accept-terms
  redis-cert-agent init --from cert-renewer@redis-server
  redis-cert-agent init --undo`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Config, err = filepath.Abs(*path); err != nil {
				return err
			}
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *initOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.step, "step", "", "URL of a step-ca")
	f.StringVar(&o.acme, "acme", "", "URL of the directory of a CA that speaks ACME")
	f.StringVar(&o.Issuer.Fingerprint, "fingerprint", "", "SHA-256 of the CA's root certificate; on a terminal it is shown to you")
	f.StringVar(&o.Issuer.Provisioner, "provisioner", "", "JWK provisioner of the step-ca (default: its only one)")
	f.StringVar(&o.provisionerPassword, "provisioner-password-file", "", "file with the provisioner's password; - reads standard input")
	f.StringSliceVar(&o.Issuer.Contact, "contact", nil, "mail addresses for the ACME account")
	f.BoolVar(&o.Issuer.TermsAccepted, "accept-terms", false, "you agree to the terms of service of the ACME CA")
	f.StringSliceVar(&o.Names, "name", nil, "DNS names and IP addresses in the certificate (default: this host's name)")
	f.StringSliceVar(&o.Servers, "server", nil, "HOST:PORT of the servers it is for (default: all of this host)")
	f.IntVar(&o.TLSPort, "tls-port", 0, "TLS port of a server that has none (default: the one after its port)")
	f.StringVar(&o.AuthClients, "auth-clients", "", "tls-auth-clients of a server that gets TLS: yes, no or optional (default: what it has)")
	f.StringVar(&o.redisPassword, "redis-password-file", "", "file with the password of Redis' default user")
	f.StringVar(&o.RedisUser, "redis-user", "", "make this Redis user for the agent, with no more rights than it needs")
	f.StringVar(&o.Directory, "directory", "", "directory of the pair (default /var/lib/redis-cert-agent/INSTANCE)")
	f.BoolVar(&o.Apply, "apply", false, "change the running servers as well")
	f.StringVar(&o.from, "from", "", "take over from this unit, smallstep's cert-renewer@NAME")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.undo, "undo", false, "take back what init did")
	completeInit(cmd, o.places)
}

func (o *initOptions) run(ctx context.Context, w, talk io.Writer) error {
	if err := o.secrets(); err != nil {
		return err
	}
	if o.undo {
		return o.takeBack(ctx, w)
	}
	if _, err := os.Lstat(o.Config); err != nil {
		if err := o.ask(ctx, w); err != nil {
			return err
		}
	}
	plan, err := setup.New(ctx, o.Options, o.places)
	if err != nil {
		return err
	}
	if plan.Show(ctx, w) && !o.yes {
		if err := confirm(w, "Do this?"); err != nil {
			return err
		}
	}
	if err := plan.Do(ctx, w); err != nil {
		return rootNeeded(err)
	}
	for _, note := range plan.Notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
	fmt.Fprint(w, "\nredis-cert-agent doctor:\n")
	return runDoctor(ctx, w, talk, o.Config, false, "")
}

func (o *initOptions) takeBack(ctx context.Context, w io.Writer) error {
	err := setup.Undo(ctx, w, o.Config, o.RedisPassword)
	if errors.Is(err, setup.ErrNothing) {
		fmt.Fprintln(w, err)
		return nil
	}
	return rootNeeded(err)
}

// secrets reads the passwords that flags name.
func (o *initOptions) secrets() (err error) {
	if o.Issuer.Password, err = setup.ReadPassword(o.provisionerPassword, os.Stdin); err != nil {
		return fmt.Errorf("--provisioner-password-file: %w", err)
	}
	if o.RedisPassword, err = setup.ReadPassword(o.redisPassword, os.Stdin); err != nil {
		return fmt.Errorf("--redis-password-file: %w", err)
	}
	return nil
}
