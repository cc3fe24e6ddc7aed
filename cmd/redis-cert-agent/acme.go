package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/daemon"
)

func newACMECommand(path *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "acme",
		Short: "Show what an ACME CA needs, and keep the account there",
		Long:  "Show what an ACME CA needs to see of this host, and keep the account there.",
		Example: `  redis-cert-agent acme record
  redis-cert-agent acme account rollover`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newACMERecordCommand(path), newACMEAccountCommand(path), newACMERevokeCommand(path))
	return cmd
}

func newACMERecordCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "record",
		Short: "Print the DNS records that dns-persist-01 needs, once",
		Long: `Print the TXT records that prove the configured names to the ACME CA by
dns-persist-01, as lines of a zone file. They hold as long as the account does, and
hold no secret: this host then renews without any access to the DNS.

The account is made where there is none yet.`,
		Example: `  sudo redis-cert-agent acme record`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, clients, err := acmeClients(*path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			for _, client := range clients {
				records, err := client.Records(cmd.Context(), c.Names)
				if err != nil {
					return err
				}
				for _, r := range records {
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s. IN TXT %q\n", r.Name, r.Value); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

// acmeClients returns the configuration and a client for each of its ACME CAs.
func acmeClients(path string, talk io.Writer) (*config.Config, []*daemon.ACMEClient, error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, nil, err
	}
	clients := daemon.ACME(c, func(msg string) { fmt.Fprintln(talk, msg) })
	if len(clients) == 0 {
		return nil, nil, errors.New("no ACME CA is configured: issuer has no acme")
	}
	return c, clients, nil
}
