package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
)

func newACMEAccountCommand(path *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "account",
		Short:   "Keep the account at an ACME CA",
		Long:    "Keep the account at an ACME CA.",
		Example: `  redis-cert-agent acme account rollover`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "rollover",
		Short: "Give the account a new key",
		Long: `Give the account a new key, for instance when somebody may have seen the old one.
The account stays, with its records for dns-persist-01 and its limits. Where the
command is cut off, the next order or the next rollover finds which key holds.`,
		Example: `  sudo redis-cert-agent acme account rollover`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, clients, err := acmeClients(*path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			for _, client := range clients {
				account, err := client.Rollover(cmd.Context())
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s has a new key\n", account); err != nil {
					return err
				}
			}
			return nil
		},
	})
	return cmd
}

// revocationReasons are those of RFC 5280, section 5.3.1, that CAs take from a subscriber.
var revocationReasons = map[string]int{
	"unspecified": ca.Unspecified, "keyCompromise": ca.KeyCompromise, "superseded": ca.Superseded, "cessationOfOperation": ca.CessationOfOperation}

func newACMERevokeCommand(path *string) *cobra.Command {
	reason := "superseded"
	cmd := &cobra.Command{
		Use:   "revoke FILE",
		Short: "Have an ACME CA revoke a certificate that this host no longer uses",
		Long: `Have the ACME CA revoke the certificate in FILE, which this host's account got. The
current certificate is not revoked, because clients would refuse the servers that
still show it: get another one first, with redis-cert-agent renew --force.`,
		Example: `  redis-cert-agent acme revoke --reason keyCompromise /var/lib/redis-cert-agent/6/redis.crt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			code, ok := revocationReasons[reason]
			if !ok {
				return fmt.Errorf("%q is no reason; write unspecified, keyCompromise, superseded or cessationOfOperation", reason)
			}
			c, clients, err := acmeClients(*path, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			chain, err := cert.ReadCertificates(args[0])
			if err == nil && len(chain) == 0 {
				err = fmt.Errorf("%s has no certificate", args[0])
			}
			if err != nil {
				return err
			}
			leaf := chain[0]
			if current, err := cert.ReadCertificates(c.Pair.Named().Cert); err == nil && slices.ContainsFunc(current, leaf.Equal) {
				return errors.New("this is the current certificate, which servers show: get another one first, with redis-cert-agent renew --force")
			}
			var errs []error
			for _, client := range clients {
				err := client.Revoke(cmd.Context(), ca.Revocation{Pair: &cert.Pair{Chain: chain}, Reason: code})
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is revoked\n", cert.Serial(leaf))
					return err
				}
				errs = append(errs, err)
			}
			return plain.Join(errs...)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", reason, "unspecified, keyCompromise, superseded or cessationOfOperation")
	completeWords(cmd, "reason", slices.Sorted(maps.Keys(revocationReasons))...)
	return cmd
}
