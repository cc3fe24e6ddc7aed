package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/truststore"
)

func newCACommand(path *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Show the roots that clients of redis need, or let this host's programs trust them",
		Long: `Show the root certificates that a client needs to verify redis, with their
fingerprints, and the file that has them.

Without the store of the system a client names that file: redis-cli --cacert FILE.`,
		Example: `  redis-cert-agent ca
  redis-cert-agent ca install`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, roots, err := rootsOf(*path)
			if err != nil {
				return err
			}
			return writeRoots(cmd.OutOrStdout(), c.SharedCA(), roots)
		},
	}
	cmd.AddCommand(newCAInstallCommand(path), newCAUninstallCommand(path))
	return cmd
}

func newCAInstallCommand(path *string) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Let the programs of this host trust the roots",
		Long: `Put the roots into the store of the system, as update-ca-certificates(8) of
Debian and update-ca-trust(8) of Fedora do it, and take out those that this command
put there before and that are no longer needed. Every program of this host that uses
the system's store then trusts whatever certificate these roots lead to, for any
name: the fingerprints are shown, and a person says yes.

After the CA has another root, run it again.`,
		Example: `  redis-cert-agent ca install
  redis-cert-agent ca install --yes     # for automation, which has compared the fingerprints`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return installRoots(cmd.Context(), cmd.OutOrStdout(), *path, yes)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func newCAUninstallCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use:     "uninstall",
		Short:   "Take the roots out of the system's store again",
		Long:    `Take out of the store of the system what "ca install" put there for this instance.`,
		Example: `  redis-cert-agent ca uninstall`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.LoadWithoutSecrets(*path)
			if err != nil {
				return err
			}
			store, err := truststore.System()
			if err != nil {
				return err
			}
			changed, err := store.Uninstall(cmd.Context(), c.Instance)
			if err != nil {
				return rootNeeded(err)
			}
			return told(cmd.OutOrStdout(), changed, "the system no longer trusts the roots of "+c.Instance, "nothing was installed")
		},
	}
}

// rootsOf reads the roots among the CA certificates that are current.
func rootsOf(path string) (*config.Config, []*x509.Certificate, error) {
	c, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return nil, nil, err
	}
	file := c.SharedCA()
	all, err := cert.ReadCertificates(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: the agent writes it with the first certificate: see redis-cert-agent status", err)
	}
	if err != nil {
		return nil, nil, err
	}
	var roots []*x509.Certificate
	for _, ca := range all {
		if cert.SelfIssued(ca) {
			roots = append(roots, ca)
		}
	}
	if len(roots) == 0 {
		return nil, nil, fmt.Errorf("%s has no root, only certificates that others have issued", file)
	}
	return c, roots, nil
}

func installRoots(ctx context.Context, w io.Writer, path string, yes bool) error {
	c, roots, err := rootsOf(path)
	if err != nil {
		return err
	}
	store, err := truststore.System()
	if err != nil {
		return err
	}
	if err := writeRoots(w, c.SharedCA(), roots); err != nil {
		return err
	}
	if !yes {
		if err := confirm(w, "Let every program of this host trust what they vouch for?"); err != nil {
			return err
		}
	}
	changed, err := store.Install(ctx, c.Instance, roots)
	if err != nil {
		return rootNeeded(err)
	}
	return told(w, changed, "the system trusts them: "+store.Dir, "the system trusts them already")
}

// writeRoots shows roots, and the file that has them.
func writeRoots(w io.Writer, file string, roots []*x509.Certificate) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, root := range roots {
		fmt.Fprintf(t, "root\t%s\n", plain.OneLine(root.Subject.String()))
		fmt.Fprintf(t, "  sha256\t%s\n", cert.FingerprintOf(root))
		fmt.Fprintf(t, "  ends\t%s\n", plain.Stamp(root.NotAfter))
	}
	fmt.Fprintf(t, "file\t%s\n", file)
	return t.Flush()
}

// confirm asks a person at the terminal.
func confirm(w io.Writer, question string) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return usageError{errors.New("nobody is there to say yes: compare the fingerprints, and add --yes")}
	}
	fmt.Fprintf(w, "%s [y/N] ", question)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && answer == "" {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// told says whether anything was changed.
func told(w io.Writer, changed bool, done, nothing string) error {
	text := nothing
	if changed {
		text = done
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// rootNeeded adds the remedy where the system's store is closed to this user.
func rootNeeded(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: run it as root", err)
	}
	return err
}
