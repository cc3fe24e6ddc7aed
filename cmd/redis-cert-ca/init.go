package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/spf13/cobra"
)

func newInitCommand() *cobra.Command {
	var o authority.InitOptions
	var noACME bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a certificate authority",
		Long: `Make a certificate authority: a root and an intermediate certificate, a
provisioner with a generated password, an ACME provisioner, and a configuration.

The authority is written with mode 0700 to a directory that must not exist yet
or be empty. Run this as the user that is to run the authority, or as root: then
the files belong to the owner of the directory, which the package makes for its
service. It prints what the hosts need to know; secrets go to files and are never
printed.`,
		Example: `  redis-cert-ca init --dns ca.internal,10.0.0.2
  redis-cert-ca init --dir ./ca --dns localhost --address 127.0.0.1:9000 --lifetime 8h`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.ACME = !noACME
			if len(o.DNS) == 0 {
				o.DNS = defaultNames()
			}
			info, err := authority.Init(o)
			if err != nil {
				return err
			}
			return writeSummary(cmd.OutOrStdout(), info)
		},
	}
	addDirFlag(cmd, &o.Dir)
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "Redis", `name of the authority, put before "Root CA" in its certificates`)
	f.StringSliceVar(&o.DNS, "dns", nil, "names and IP addresses under which hosts reach the authority, the one for its URL first\n(default: this host's name, localhost and 127.0.0.1)")
	f.StringVar(&o.Address, "address", ":9000", "what to listen on, host:port; all interfaces without a host, as other hosts must reach it")
	f.StringVar(&o.Provisioner, "provisioner", "redis", "name of the provisioner whose password hosts use")
	f.DurationVar(&o.Lifetime, "lifetime", 0, "lifetime of a certificate when the request names none (default 24h)")
	f.DurationVar(&o.MinLifetime, "min-lifetime", 0, "shortest lifetime that a request may ask for (default 5m, or the lifetime if that is less)")
	f.DurationVar(&o.MaxLifetime, "max-lifetime", 0, "longest lifetime that a request may ask for (default 24h, or the lifetime if that is more)")
	f.BoolVar(&o.RenewAfterExpiry, "renew-after-expiry", false, "let an expired certificate be renewed with its own key, without the password")
	f.StringSliceVar(&o.AllowDNS, "allow-dns", nil, "certify these names and addresses only: DNS names, or *.domain for those one level below it (default: all)")
	f.StringSliceVar(&o.AllowIP, "allow-ip", nil, "certify these names and addresses only: IP addresses or CIDR ranges (default: all)")
	f.BoolVar(&noACME, "no-acme", false, "make no ACME provisioner")
	return cmd
}

// defaultNames returns the names of this host, its own first.
func defaultNames() []string {
	names := []string{"localhost", "127.0.0.1"}
	if host, err := os.Hostname(); err == nil && host != "" && host != "localhost" {
		names = append([]string{strings.ToLower(host)}, names...)
	}
	return names
}

// hostPasswordFile is where the summary puts the provisioner's password on a
// Redis host.
const hostPasswordFile = "/etc/redis-cert-agent/provisioner-password"

// writeSummary writes what was made and what to do with it.
func writeSummary(w io.Writer, info *authority.Info) error {
	var b bytes.Buffer
	url := cmp.Or(info.URL, "URL-THAT-RUN-PRINTS") // it differs at each start
	fmt.Fprintf(&b, "made a certificate authority in %s\n\n", info.Dir)
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"url", url},
		{"fingerprint", info.Fingerprint},
		{"provisioner", info.ProvisionerName},
		{"password", info.PasswordFile},
		{"root", info.RootFile},
		{"acme", info.ACMEDirectory},
	} {
		if row[1] != "" {
			fmt.Fprintf(tw, "%s\t%s\n", row[0], row[1])
		}
	}
	tw.Flush() // to a buffer: cannot fail
	run := "redis-cert-ca run --dir " + shellQuote(info.Dir)
	if info.Dir == defaultDir {
		run = "systemctl enable --now redis-cert-ca   # without the package: redis-cert-ca run"
	}
	fmt.Fprintf(&b, `
Run it:

  %[1]s

Tell the agent of each Redis host, in /etc/redis-cert-agent/config.yaml:

issuer:
  step:
    url: %[2]s
    fingerprint: %[3]s
    provisioner: %[4]s

Copy the password to each Redis host, from where its systemd hands it to the agent:

  ssh root@HOST 'install -D -m 0600 /dev/stdin %[5]s' < %[6]s

Start the agent there, and restart it when the password changes:

  ssh root@HOST systemctl restart redis-cert-agent

Move the key of the root to a safe place off this machine. It is not needed to
run, only to make another intermediate; %[7]s unlocks it:

  %[8]s
`, run, url, info.Fingerprint, yamlString(info.ProvisionerName), hostPasswordFile,
		shellQuote(info.PasswordFile), info.KeyPasswordFile, info.RootKeyFile)
	_, err := w.Write(b.Bytes())
	return err
}

// shellQuote returns s as one word of a shell command.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// yamlString returns s as a YAML scalar that cannot be taken for anything but
// a string.
func yamlString(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == "" && !yamlKeyword(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// yamlKeyword reports whether YAML 1.1 or 1.2 reads s, bare, as nothing, a
// boolean, a null or a sign of structure.
func yamlKeyword(s string) bool {
	switch strings.ToLower(s) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null", "-", "--", "---":
		return true
	}
	return false
}
