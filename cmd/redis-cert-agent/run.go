package main

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/sdnotify"
)

func newRunCommand(path *string) *cobra.Command {
	var debug bool
	format := journal.Text
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Look after the certificate until stopped",
		Long: `Look after the certificate until stopped. This is what systemd runs.

SIGHUP reads the configuration again, as redis-cert-agent reload does; a faulty
one is refused and the old one goes on. SIGTERM stops; nothing has to be saved.`,
		Example: `  redis-cert-agent run
  redis-cert-agent run --config ./redis.yaml --debug
  redis-cert-agent run --log-format json     # in a container`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			defer func() {
				if err != nil {
					sdnotify.Status(err.Error()) // systemctl status shows it until the next start
				}
			}()
			c, err := config.Load(*path)
			if err != nil {
				return err
			}
			level := slog.LevelInfo
			if debug {
				level = slog.LevelDebug
			}
			log, err := journal.NewLoggerIn(format, os.Stderr, level)
			if err != nil {
				return err
			}
			return daemon.New(c, releaseVersion(), log).Run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&format, "log-format", format, "how entries look that do not go to the journal: text, json")
	cmd.Flags().BoolVar(&debug, "debug", false, "log details")
	return cmd
}
