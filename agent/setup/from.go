package setup

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/pair"
)

// Former is what another renewer's unit and files say of the pair: smallstep's
// cert-renewer@.service, which runs `step ca renew` by a timer.
type Former struct {
	Timer string // the unit of systemd
	Files pair.Paths
	Issuer
	Names []string
}

// ReadFormer reads what a unit like cert-renewer@redis-server says.
func ReadFormer(ctx context.Context, unit string) (Former, error) {
	name := strings.TrimSuffix(strings.TrimSuffix(unit, ".timer"), ".service")
	text, err := ask(ctx, "show", "--property=LoadState", "--property=Environment", name+".service")
	if err != nil {
		return Former{}, err
	}
	shown := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		shown[key] = value
	}
	if shown["LoadState"] != "loaded" {
		return Former{}, fmt.Errorf("there is no unit %s.service on this host (systemctl list-units 'cert-renewer@*')", name)
	}
	environment := map[string]string{}
	for _, word := range strings.Fields(shown["Environment"]) {
		key, value, _ := strings.Cut(strings.Trim(word, `"`), "=")
		environment[key] = value
	}
	f := Former{Timer: name + ".timer", Files: pair.Paths{Cert: environment["CERT_LOCATION"], Key: environment["KEY_LOCATION"]}}
	if f.Files.Cert == "" || f.Files.Key == "" {
		return f, fmt.Errorf("%s.service does not say where its files are (CERT_LOCATION, KEY_LOCATION): it is no cert-renewer@ of smallstep's", name)
	}
	if err := f.authority(environment["STEPPATH"]); err != nil {
		return f, err
	}
	return f, f.certificate()
}

// authority reads which CA `step ca bootstrap` made the default below a STEPPATH.
func (f *Former) authority(steppath string) error {
	if steppath == "" {
		steppath = "/root/.step"
	}
	path := filepath.Join(steppath, "config", "defaults.json")
	text, err := disk.Read(path, maxFile)
	if err != nil {
		return fmt.Errorf("which CA step renews from: %w: name it with --step and --fingerprint", err)
	}
	var defaults struct {
		URL         string `json:"ca-url"`
		Fingerprint string `json:"fingerprint"`
	}
	if err := json.Unmarshal(text, &defaults); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f.URL, f.Fingerprint = defaults.URL, defaults.Fingerprint
	return nil
}

// certificate reads for whom the certificate is, and which provisioner gave it.
func (f *Former) certificate() error {
	text, err := disk.Read(f.Files.Cert, maxFile)
	if err != nil {
		return err
	}
	chain, err := cert.ParseCertificates(text)
	if err == nil && len(chain) == 0 {
		err = errors.New("it holds no certificate")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Files.Cert, err)
	}
	leaf := chain[0]
	f.Names = slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		f.Names = append(f.Names, ip.String())
	}
	f.Provisioner = provisionerOf(leaf)
	return nil
}

// provisionerOf returns the name in the extension with which step-ca marks what it
// issues: 1.3.6.1.4.1.37476.9000.64.1, a sequence of the type of the provisioner, which is
// 1 for JWK, its name, and what else it wants. Empty: there is none, or of another type.
func provisionerOf(leaf *x509.Certificate) string {
	const jwk = 1
	oid := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 37476, 9000, 64, 1}
	for _, e := range leaf.Extensions {
		var mark struct {
			Type         int
			Name         []byte
			CredentialID []byte
			KeyValues    []string `asn1:"optional,omitempty"`
		}
		if !e.Id.Equal(oid) {
			continue
		}
		if _, err := asn1.Unmarshal(e.Value, &mark); err == nil && mark.Type == jwk {
			return string(mark.Name)
		}
	}
	return ""
}
