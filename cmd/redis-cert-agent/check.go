package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/check"
	"redis-cert-agent/agent/discover"
)

// A verdict is the exit code of a check, which has said all there is to say.
type verdict check.State

func (v verdict) Error() string { return "check: " + check.State(v).String() }

// checkOptions are what the command line of a check says.
type checkOptions struct {
	config string // path of the configuration
	given  bool   // whether somebody named it

	addresses             []string
	list                  string // file with more of them; "-": standard input
	files                 fileArgs
	cas                   []string
	clientCert, clientKey string
	name, role            string
	warn, crit            string // empty: those of the configuration, or the default
	timeout               time.Duration
	json, nagios, quiet   bool

	stdin  stdin
	places discover.Places // where the servers of this host are looked for
}

// gcPercent is how much garbage a check holds at most, by what it needs. With Go's 100 a
// check of ten thousand servers takes a quarter more memory.
const gcPercent = 50

func newCheckCommand(path *string) *cobra.Command {
	o := checkOptions{places: discover.Usual()}
	cmd := &cobra.Command{
		Use:   "check [flags] [HOST:PORT | -]...",
		Short: "Say what is wrong with certificates, or soon will be",
		Long: `Look at what redis-servers show and at what is in files, and say what is wrong
with it, or soon will be: how long each certificate of the chain lasts, its root
as well; names, issuers, keys, what they are for; whether a server takes your
client certificate. No agent and no configuration is needed, and no password.

Without HOST:PORT, --targets and --file it checks what the configuration names:
what each server serves against what is on disk, the pair, the CA, and the client
certificates. Where there is no configuration either, it looks for the redis-servers,
valkey-servers and Sentinels of this host, running or not, and checks those. PORT is
6379 where it is left out. A - stands for the targets on standard input, one a line.

The exit code is that of monitoring plugins: 0 all is well, 1 warning, 2 critical
(clients fail, or soon will), 3 unknown (a fault of the command line or the
configuration, a file that this user may not read).`,
		Example: `  redis-cert-agent check redis1.internal:6379 redis2.internal:6379
  redis-cert-agent check --ca ca.crt --targets all-redis.txt --quiet
  redis-cert-agent check --file redis.crt --key redis.key --warn 14d
  ssh redis1 cat /etc/redis/tls/redis.crt | redis-cert-agent check --ca /etc/redis/cas --file -
  consul-members | redis-cert-agent check --nagios -
  redis-cert-agent check --client-cert app.crt --client-key app.key redis1.internal:6379
  redis-cert-agent check               # what the configuration names, or what runs here
  redis-cert-agent check --nagios`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.config, o.given, o.addresses = *path, cmd.Flags().Changed("config"), args
			return o.run(cmd)
		},
	}
	f, margins := cmd.Flags(), cert.DefaultMargins()
	f.Var(fileFlag{&o.files}, "file", "check the certificates in this PEM file; - is standard input (may be repeated)")
	f.Var(keyFlag{&o.files}, "key", "the key of the --file before it (default: the same file)")
	f.StringArrayVar(&o.cas, "ca", nil, "trust the CA certificates in `FILE`, or in the files of a directory (may be repeated; default: the system's)")
	f.StringVar(&o.clientCert, "client-cert", "", "present the certificate in `FILE`, and check it")
	f.StringVar(&o.clientKey, "client-key", "", "its key is in `FILE` (default: the same file)")
	f.StringVar(&o.name, "name", "", "certificates must carry `NAME` (default: HOST of the target)")
	f.StringVar(&o.role, "role", "", "the certificates of --file must be good for a `server|client` (default: either)")
	f.StringVar(&o.list, "targets", "", "read more targets from `FILE`, one HOST:PORT a line; - is standard input")
	f.StringVar(&o.warn, "warn", "", fmt.Sprintf("warn `MARGIN` before an end: a share of the lifetime, a time, or the lesser of both (default %q)", margins.Warn))
	f.StringVar(&o.crit, "crit", "", fmt.Sprintf("be critical `MARGIN` before an end (default %q)", margins.Crit))
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait for each server")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.nagios, "nagios", false, "print what Nagios, Icinga and their like read")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print only what is not well, and the summary")
	completeTargets(cmd, path, o.places)
	completeWords(cmd, "role", string(check.ServerRole), string(check.ClientRole))
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return o.fault(c, flagError(c, err))
	})
	return cmd
}

func (o *checkOptions) run(cmd *cobra.Command) error {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	o.stdin = stdin{Reader: cmd.InOrStdin()}
	targets, err := o.targets(cmd.Context(), cmd.ErrOrStderr())
	if err != nil {
		return o.fault(cmd, err)
	}
	var so atomic.Int64
	p := newProgress(cmd.ErrOrStderr(), func(time.Duration) string { return fmt.Sprintf("%d of %d checked", so.Load(), len(targets)) })
	r, err := check.Run(cmd.Context(), targets, time.Now(), func() { so.Add(1) })
	p.clear()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted: nothing is known")
	}
	if err != nil {
		return o.fault(cmd, err)
	}
	if err := o.write(cmd.OutOrStdout(), r); err != nil {
		return o.fault(cmd, err)
	}
	if r.State == check.OK {
		return nil
	}
	return verdict(r.State)
}

func (o *checkOptions) write(w io.Writer, r check.Report) error {
	switch {
	case o.json:
		return r.WriteJSON(w)
	case o.nagios:
		return r.WriteNagios(w)
	}
	return r.WriteText(w, check.Style{Color: isColourful(w), Faulty: o.quiet})
}

// fault says why nothing could be checked. A plugin says it on standard output,
// where a monitor reads it.
func (o *checkOptions) fault(cmd *cobra.Command, err error) error {
	if o.nagios {
		if check.WriteNagiosFault(cmd.OutOrStdout(), err) == nil {
			return verdict(check.Unknown)
		}
	}
	complain(cmd.ErrOrStderr(), err)
	return verdict(check.Unknown)
}
