package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/check"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/reload"
)

// targets are what is to be checked, and how.
func (o *checkOptions) targets(ctx context.Context, talk io.Writer) ([]check.Target, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.alone() {
		return o.configured(ctx, talk)
	}
	if err := o.readLists(); err != nil {
		return nil, err
	}
	warn, crit, err := o.margins(cert.DefaultMargins())
	if err != nil {
		return nil, err
	}
	trust, err := o.trust()
	if err != nil {
		return nil, err
	}
	want := check.Want{Warn: warn, Crit: crit, Trust: trust}
	files, err := o.namedFiles(want)
	if err != nil {
		return nil, err
	}
	client, own, err := o.client(want)
	if err != nil {
		return nil, err
	}
	servers, err := o.servers(want, client)
	return append(servers, append(files, own...)...), err
}

// alone says whether the configuration names the targets.
func (o *checkOptions) alone() bool {
	return len(o.addresses)+len(o.files.files)+len(o.files.keys) == 0 && o.list == ""
}

func (o *checkOptions) validate() error {
	switch {
	case o.alone() && o.name+o.clientCert+o.clientKey != "":
		return usageError{errors.New("--name, --client-cert and --client-key are for servers that the command line names: " +
			"name one as HOST:PORT; what the configuration names has its own there")}
	case o.role != "" && len(o.files.files) == 0:
		return usageError{errors.New("--role is for --file: name one")}
	case o.json && o.nagios:
		return usageError{errors.New("--json and --nagios: choose one")}
	case o.role != "" && o.role != string(check.ServerRole) && o.role != string(check.ClientRole):
		return usageError{fmt.Errorf("--role %q is neither server nor client", o.role)}
	case o.clientKey != "" && o.clientCert == "":
		return usageError{errors.New("--client-key is the key of --client-cert: give that too")}
	case o.timeout <= 0:
		return usageError{fmt.Errorf("--timeout %s: give a time, like 5s", o.timeout)}
	}
	return nil
}

// margins returns those of the command line, or else those of m.
func (o *checkOptions) margins(m cert.Margins) (warn, crit cert.Margin, err error) {
	parse := func(flag, text string, otherwise cert.Margin) cert.Margin {
		if text == "" {
			return otherwise
		}
		margin, bad := cert.ParseMargin(text)
		if bad != nil && err == nil {
			err = usageError{fmt.Errorf("--%s %q %w", flag, text, bad)}
		}
		return margin
	}
	warn = parse("warn", o.warn, m.Warn)
	crit = parse("crit", o.crit, m.Crit)
	return warn, crit, err
}

// trust returns the CAs of --ca, or the system's.
func (o *checkOptions) trust() (check.Trust, error) {
	if len(o.cas) == 0 {
		return check.SystemTrust()
	}
	var all []*x509.Certificate
	for _, path := range o.cas {
		roots, err := readCAs(path)
		if err != nil {
			return check.Trust{}, fmt.Errorf("--ca: %w", err)
		}
		all = append(all, roots...)
	}
	return check.NewTrust(all), nil
}

// readCAs reads the CA certificates in a file; in a directory, those in its files, as
// c_rehash(1) and people fill one, without what else lies there: keys, leaf certificates,
// notes.
func readCAs(path string) ([]*x509.Certificate, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return cert.ReadCertificates(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, e := range entries {
		text, _, err := disk.ReadInTime(filepath.Join(path, e.Name()), maxPEM)
		if errors.Is(err, disk.ErrNotRegular) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			continue // a directory, another user's key, a link that leads nowhere
		}
		if err != nil {
			return nil, err
		}
		if !bytes.Contains(text, []byte("CERTIFICATE-----")) {
			continue
		}
		certs, err := cert.ParseCertificates(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(path, e.Name()), err)
		}
		certs = slices.DeleteFunc(certs, func(c *x509.Certificate) bool { return !c.IsCA && !cert.SelfIssued(c) })
		all = cert.Merge(all, certs)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no file in the directory %s has a CA certificate", path)
	}
	return all, nil
}

// namedFiles are those of --file.
func (o *checkOptions) namedFiles(want check.Want) ([]check.Target, error) {
	files, err := o.files.targets(&o.stdin)
	want.Role = check.Role(o.role)
	if o.name != "" {
		want.Names = []string{o.name}
	}
	for i := range files {
		files[i].Want = want
	}
	return files, err
}

// maxPEM bounds a PEM file that a flag or the configuration names.
const maxPEM = 4 << 20

// client returns the certificate that is presented, and itself as a target.
func (o *checkOptions) client(want check.Want) (func() (*tls.Certificate, error), []check.Target, error) {
	if o.clientCert == "" {
		return nil, nil, nil
	}
	key := o.clientKey
	if key == "" {
		key = o.clientCert
	}
	chain, _, err := disk.ReadInTime(o.clientCert, maxPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("--client-cert: %w", err)
	}
	secret, _, err := disk.ReadInTime(key, maxPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("--client-key: %w", err)
	}
	p, err := cert.Parse(chain, secret, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("--client-cert %s and --client-key %s: %w; name a certificate and its own key", o.clientCert, key, err)
	}
	presented := p.TLS()
	want.Role, want.AnyCA = check.ClientRole, true
	own := check.Target{Kind: check.File, Path: o.clientCert, Key: check.Keys{Path: o.clientKey, Group: -1}, Want: want}
	return func() (*tls.Certificate, error) { return &presented, nil }, []check.Target{own}, nil
}

// servers are the addresses, each once.
func (o *checkOptions) servers(want check.Want, client func() (*tls.Certificate, error)) ([]check.Target, error) {
	want.Role = check.ServerRole
	seen := map[string]bool{}
	targets := make([]check.Target, 0, len(o.addresses))
	for _, text := range o.addresses {
		if info, err := os.Stat(text); err == nil && info.Mode().IsRegular() {
			return nil, usageError{fmt.Errorf("%s is a file: write --file %[1]s", text)}
		}
		host, port, err := splitTarget(text)
		if err != nil {
			return nil, usageError{err}
		}
		address := net.JoinHostPort(host, port)
		if seen[address] {
			continue
		}
		seen[address] = true
		name := o.name
		if name == "" {
			name = host
		}
		want.Names = []string{name}
		targets = append(targets, check.Target{
			Kind: check.Server, Want: want,
			Peer: reload.Server{Address: address, Name: name, Client: client, Timeout: o.timeout},
		})
	}
	return targets, nil
}
