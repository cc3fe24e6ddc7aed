package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.step.sm/crypto/jose"

	"redis-cert-agent/agent/ca"
)

const (
	opProvisioner = "provisioner"
	maxPages      = 100
)

// provisioner holds what the agent needs of a provisioner that the CA lists.
type provisioner struct {
	Type         string
	Name         string
	KeyID        string // the id of the public key, by which the CA finds the provisioner
	EncryptedKey string // the private key as a JWE in compact form, encrypted with the password
}

// parseProvisioners reads one page of /provisioners, and the cursor of the next
// page, which is empty after the last. It leaves out entries that do not parse,
// because they are of types that the agent cannot use.
func parseProvisioners(data []byte) (list []provisioner, next string, err error) {
	var page struct {
		Provisioners []json.RawMessage `json:"provisioners"`
		NextCursor   string            `json:"nextCursor"`
	}
	if err := decode(data, &page); err != nil {
		return nil, "", err
	}
	for _, raw := range page.Provisioners {
		var p struct {
			Type         string `json:"type"`
			Name         string `json:"name"`
			EncryptedKey string `json:"encryptedKey"`
			Key          struct {
				KeyID string `json:"kid"`
			} `json:"key"`
		}
		if json.Unmarshal(raw, &p) == nil && p.Name != "" {
			list = append(list, provisioner{Type: p.Type, Name: p.Name, KeyID: p.Key.KeyID, EncryptedKey: p.EncryptedKey})
		}
	}
	return list, page.NextCursor, nil
}

// provisioners reads all pages. A cursor that comes twice is an error, because
// the list would never end.
func (s *session) provisioners(ctx context.Context) ([]provisioner, error) {
	var all []provisioner
	seen := map[string]bool{"": true}
	for query := "?limit=100"; ; {
		body, err := s.do(ctx, call{op: opProvisioner, method: http.MethodGet, path: "/provisioners" + query})
		if err != nil {
			return nil, err
		}
		page, next, err := parseProvisioners(body)
		if err != nil {
			return nil, s.at.Garbage(opProvisioner, http.StatusOK, err)
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		if seen[next] || len(seen) > maxPages {
			return nil, s.at.Garbage(opProvisioner, http.StatusOK, errors.New("the list of provisioners has no end"))
		}
		seen[next] = true
		query = "?limit=100&cursor=" + url.QueryEscape(next)
	}
}

// candidates returns the JWK provisioners of that name whose encrypted key the CA
// lists. There may be several with different keys. The error names those that
// could be meant.
func candidates(list []provisioner, name string) ([]provisioner, error) {
	var found []provisioner
	var names []string
	var other string
	keyless := false
	for _, p := range list {
		jwk := strings.EqualFold(p.Type, "JWK")
		switch {
		case p.Name == name && jwk && p.EncryptedKey != "":
			found = append(found, p)
		case p.Name == name && jwk:
			keyless = true
		case p.Name == name:
			other = p.Type
		}
		if jwk && !slices.Contains(names, fmt.Sprintf("%q", p.Name)) {
			names = append(names, fmt.Sprintf("%q", p.Name))
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case keyless:
		return nil, fmt.Errorf("%q keeps its key to itself: the CA does not list its encrypted key, so no token can be made with a password", name)
	case other != "":
		return nil, fmt.Errorf("%q is of type %s, not JWK: %s", name, ca.Clean(other, 20), whatThereIs(names))
	}
	return nil, fmt.Errorf("the CA has no %q: %s", name, whatThereIs(names))
}

func whatThereIs(names []string) string {
	if len(names) == 0 {
		return "it has none of type JWK; add one with `step ca provisioner add NAME --create`"
	}
	const most = 8
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	return "name one of its provisioners of type JWK: " + strings.Join(names, ", ") + more
}

// signer is a provisioner's private key, and the id by which the CA knows it.
type signer struct {
	key   *jose.JSONWebKey
	keyID string
}

// signer finds the configured provisioner and decrypts its key.
func (s *session) signer(ctx context.Context) (signer, error) {
	list, err := s.provisioners(ctx)
	if err != nil {
		return signer{}, err
	}
	found, err := candidates(list, s.c.opts.Provisioner)
	if err != nil {
		return signer{}, ca.Fault(opProvisioner, err)
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range found {
		if c.key != nil && p.EncryptedKey == c.sealed {
			return signer{c.key, p.keyID(c.key)}, nil
		}
	}
	if !c.opts.Password.Set() {
		return signer{}, ca.Fault(opProvisioner, errors.New("no password is configured, and there is no one-time token: bring one with step ca token NAME --san NAME… | redis-cert-agent enroll"))
	}
	password, err := c.opts.Password.Read()
	if err != nil {
		if !c.opts.HasPassword() {
			err = fmt.Errorf("%w; or bring a one-time token: step ca token NAME --san NAME… | redis-cert-agent enroll", err)
		}
		return signer{}, ca.Fault(opProvisioner, fmt.Errorf("read the password: %w", err))
	}
	for _, p := range found {
		key, err := unseal(p.EncryptedKey, password)
		if err == nil {
			c.sealed, c.key = p.EncryptedKey, key
			return signer{key, p.keyID(key)}, nil
		}
		if !errors.Is(err, errPassword) {
			return signer{}, c.at.Garbage(opProvisioner, http.StatusOK, fmt.Errorf("%q: %w", p.Name, err))
		}
	}
	return signer{}, ca.Fault(opProvisioner, fmt.Errorf("%q exists at %s, but %w", c.opts.Provisioner, c.base, errPassword))
}

func (p provisioner) keyID(key *jose.JSONWebKey) string {
	if p.KeyID != "" {
		return p.KeyID
	}
	return key.KeyID
}

// errPassword says that the password does not decrypt the provisioner's key.
var errPassword = errors.New("its key does not open with the configured password: check the provisioner's password")

// unseal decrypts a provisioner's key. PBES2 with 600,000 rounds takes about a
// tenth of a second of CPU; go-jose refuses more than a million.
func unseal(sealed string, password []byte) (*jose.JSONWebKey, error) {
	box, err := jose.ParseEncrypted(sealed)
	if err != nil {
		return nil, errors.New("its encrypted key is no JWE")
	}
	// An empty password must not reach go-jose, since some of its algorithms
	// accept it as a key of no bytes.
	if len(password) == 0 {
		return nil, errPassword
	}
	data, err := box.Decrypt(password)
	if err != nil {
		return nil, errPassword
	}
	defer clear(data)
	key := new(jose.JSONWebKey)
	if err := json.Unmarshal(data, key); err != nil {
		return nil, errors.New("its decrypted key is no JWK")
	}
	if !key.Valid() || key.IsPublic() || jose.IsSymmetric(key) {
		return nil, errors.New("its decrypted key is no private key")
	}
	return key, nil
}
