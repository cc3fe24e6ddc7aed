package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
)

func newRunCommand() *cobra.Command {
	var dir string
	var o authority.RunOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run a certificate authority",
		Long: `Run the certificate authority that init made, until SIGTERM or SIGINT.

It prints its URL and the fingerprint of its root, and logs each issuance,
renewal, revocation and refusal. It does not read its configuration again:
restart it after a change of config/ca.json.`,
		Example: `  redis-cert-ca run
  redis-cert-ca run --dir ./ca --address 127.0.0.1:9001`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			o.Log = newLogger(cmd.ErrOrStderr(), os.Getenv)
			return serve(ctx, dir, o, cmd.OutOrStdout())
		},
	}
	addDirFlag(cmd, &dir)
	cmd.Flags().StringVar(&o.Address, "address", "", "what to listen on, host:port (default: what init was told; the URL keeps its name)")
	cmd.Flags().IntVar(&o.ACMEHTTPPort, "acme-http-port", 0, "port at which hosts answer http-01 challenges (default 80)")
	cmd.Flags().IntVar(&o.ACMETLSPort, "acme-tls-port", 0, "port at which hosts answer tls-alpn-01 challenges (default 443)")
	return cmd
}

// serve runs the authority in dir until ctx ends or the listener fails.
func serve(ctx context.Context, dir string, o authority.RunOptions, stdout io.Writer) error {
	r, err := authority.Start(dir, o)
	if err != nil {
		return err
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	fmt.Fprintf(stdout, "url          %s\nfingerprint  %s\n", r.URL, r.Fingerprint)
	notify(o.Log, daemon.SdNotifyReady+"\nSTATUS=serving "+r.URL)
	for {
		select {
		case <-hangup:
			o.Log.Warn("SIGHUP is ignored: restart to read a changed config/ca.json")
			continue
		case <-ctx.Done():
		case <-r.Done():
		}
		notify(o.Log, daemon.SdNotifyStopping)
		return r.Close()
	}
}

// notify tells systemd, if it listens; sd_notify(3).
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify systemd", "error", err)
	}
}

// newLogger returns a log of one line a record; without the time where w goes
// to the journal, which has its own. See $JOURNAL_STREAM in systemd.exec(5).
func newLogger(w io.Writer, getenv func(string) string) *slog.Logger {
	var o slog.HandlerOptions
	if getenv("JOURNAL_STREAM") != "" {
		o.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(slog.NewTextHandler(w, &o))
}
