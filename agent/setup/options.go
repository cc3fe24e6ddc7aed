package setup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"redis-cert-agent/agent/option"
)

// Options are what a person wants.
type Options struct {
	Config    string // where the configuration is written
	Directory string // of the pair; empty: the usual one

	Issuer  Issuer
	Names   []string
	Servers []string // their addresses, of TLS or of plaintext; none: those of this host

	TLSPort       int    // of a server that has none yet; 0: the one after its port
	AuthClients   string // tls-auth-clients of a server that gets TLS; empty: what it has
	RedisUser     string // a user of the agent's own, made with Apply; empty: the default user
	RedisPassword []byte // of the default user; nil: none
	Apply         bool   // change the running servers
	Renewer       string // the timer that renews until now, which is to be disabled; empty: none
}

// Issuer is where certificates come from: a step-ca or a directory of ACME.
type Issuer struct {
	URL         string // of a step-ca
	Provisioner string
	Password    []byte // of the provisioner; nil: there is none on this host

	Directory     string // of ACME
	Contact       []string
	TermsAccepted bool

	Fingerprint string // of the CA's root; with ACME empty: the roots of the system
}

// text returns the issuer as the configuration has it.
func (i Issuer) text(passwordFile string) string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "    %s: %s\n", key, scalar(value))
		}
	}
	if i.URL != "" {
		b.WriteString("issuer:\n  step:\n")
		line("url", i.URL)
		line("fingerprint", i.Fingerprint)
		line("provisioner", i.Provisioner)
		line("password_file", passwordFile)
		return b.String()
	}
	b.WriteString("issuer:\n  acme:\n")
	line("directory", i.Directory)
	line("fingerprint", i.Fingerprint)
	if len(i.Contact) > 0 {
		fmt.Fprintf(&b, "    contact: %s\n", list(i.Contact))
	}
	if i.TermsAccepted {
		b.WriteString("    terms_accepted: true\n")
	}
	return b.String()
}

// scalar returns s as a YAML scalar that is a string whatever is in it. The escapes of
// a Go string are among those of YAML's double quotes (YAML 1.2, 5.7).
func scalar(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:@"
	if s != "" && strings.Trim(s, plain) == "" && strings.ContainsAny(s[:1], plain[:63]) && !strings.HasSuffix(s, ":") && !word(s) {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// word says whether YAML takes s for something else than a string.
func word(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return true
	}
	return false
}

func list(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = scalar(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Fault says what is missing or wrong before anything is looked at; nil: nothing.
func (o Options) Fault() error {
	switch i := o.Issuer; {
	case i.URL == "" && i.Directory == "":
		return errors.New("say where certificates come from: --step URL, or --acme DIRECTORY")
	case i.URL != "" && i.Directory != "":
		return errors.New("--step and --acme are two ways; init sets up one: add the other to the configuration later")
	case i.URL != "" && i.Provisioner == "":
		return errors.New("say which provisioner gives certificates: --provisioner NAME")
	case len(o.Names) == 0:
		return errors.New("say which names the certificate is for: --name NAME, once for each")
	}
	for _, n := range o.Names {
		if _, err := option.ParseName(n); err != nil {
			return fmt.Errorf("--name %s %w", option.Quote(n), err)
		}
	}
	switch o.AuthClients {
	case "", "yes", "no", "optional":
		return nil
	}
	return fmt.Errorf("--auth-clients is yes, no or optional, not %s", option.Quote(o.AuthClients))
}
