package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/ca/step"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/disk"
)

// maxToken bounds a token. One with many names has two kilobytes.
const maxToken = 16 << 10

func newEnrollCommand(path *string) *cobra.Command {
	var client string
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Get a certificate with a one-time token from standard input",
		Long: `Get a certificate from a step-ca with a one-time token, which is read from standard
input, so that no password of the CA is needed on this host. From then on the
certificate is renewed with itself. A token is good for some minutes and for one
certificate; nothing keeps it afterwards.

It is for the names in the configuration, the first of them its subject, and is made
where the password is. With --pair it is for the pair of a client.`,
		Example: `  step ca token redis1.internal --san redis1.internal --san 10.0.0.5 |
      ssh redis1 redis-cert-agent enroll
  redis-cert-agent enroll --pair exporter <token`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return enroll(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), *path, client)
		},
	}
	cmd.Flags().StringVar(&client, "pair", "", "the pair of a client, by its name")
	completePairs(cmd, path)
	return cmd
}

func enroll(ctx context.Context, in io.Reader, out, talk io.Writer, path, client string) error {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return err
	}
	names := c.Names
	if client != "" {
		i := slices.IndexFunc(c.ClientPairs, func(p config.ClientPair) bool { return p.Name == client })
		if i < 0 {
			return fmt.Errorf("there is no pair %q among pairs in %s", client, path)
		}
		names = c.ClientPairs[i].Names
	}
	file := c.TokenFile(client)
	if file == "" {
		return errors.New("a one-time token is for a step-ca, and issuer names none")
	}
	text, err := io.ReadAll(io.LimitReader(in, maxToken))
	if err != nil {
		return fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	said, err := step.ParseToken(token)
	if err == nil {
		err = said.Fits(names, time.Now())
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o751); err != nil {
		return err
	}
	if err := disk.Replace(file, []byte(token+"\n")); err != nil {
		return err
	}
	if client != "" {
		return renewPair(ctx, out, talk, path, client, true)
	}
	outcome, err := askToRenew(ctx, talk, path, true)
	if err != nil && !outcome.Issued {
		return err
	}
	if err != nil { // mostly redis, which waits for the certificate to start
		fmt.Fprintf(talk, "redis-cert-agent: the certificate is there, but %v\n", err)
	}
	_, err = fmt.Fprintln(out, outcome.Text)
	return err
}
