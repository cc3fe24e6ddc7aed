package step

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// maxChain bounds the certificates in one answer.
const maxChain = 64

// certificate is a certificate as step-ca writes it: PEM in a JSON string, which
// is empty or null when there is none.
type certificate struct{ *x509.Certificate }

func (c *certificate) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New("a certificate is not a string")
	}
	if text == "" {
		return nil
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("a certificate is not PEM")
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("a certificate does not parse: %w", err)
	}
	c.Certificate = parsed
	return nil
}

// parseRoot reads the answer of /root/{fingerprint}.
func parseRoot(data []byte) (*x509.Certificate, error) {
	var answer struct {
		CA certificate `json:"ca"`
	}
	if err := decode(data, &answer); err != nil {
		return nil, err
	}
	if answer.CA.Certificate == nil {
		return nil, errors.New("the answer holds no certificate")
	}
	return answer.CA.Certificate, nil
}

// parseRoots reads the answer of /roots: at least one certificate, each once.
func parseRoots(data []byte) ([]*x509.Certificate, error) {
	var answer struct {
		Certificates []certificate `json:"crts"`
	}
	if err := decode(data, &answer); err != nil {
		return nil, err
	}
	return certificates(answer.Certificates)
}

// parseChain reads the answer of /sign, /renew and /rekey. An old step-ca, which
// does not know certChain, sends the leaf and its issuer in fields of their own.
func parseChain(data []byte) ([]*x509.Certificate, error) {
	var answer struct {
		Leaf  certificate   `json:"crt"`
		CA    certificate   `json:"ca"`
		Chain []certificate `json:"certChain"`
	}
	if err := decode(data, &answer); err != nil {
		return nil, err
	}
	if len(answer.Chain) == 0 {
		if answer.Leaf.Certificate == nil {
			return nil, errors.New("the answer holds no certificate")
		}
		answer.Chain = []certificate{answer.Leaf, answer.CA}
	}
	if answer.Chain[0].Certificate == nil {
		return nil, errors.New("the answer's first certificate is empty")
	}
	return certificates(answer.Chain)
}

// certificates returns the certificates of in without empty entries and
// repetitions.
func certificates(in []certificate) ([]*x509.Certificate, error) {
	if len(in) > maxChain {
		return nil, fmt.Errorf("the answer holds %d certificates", len(in))
	}
	var out []*x509.Certificate
next:
	for _, c := range in {
		if c.Certificate == nil {
			continue
		}
		for _, have := range out {
			if have.Equal(c.Certificate) {
				continue next
			}
		}
		out = append(out, c.Certificate)
	}
	if len(out) == 0 {
		return nil, errors.New("the answer holds no certificate")
	}
	return out, nil
}

func decode(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return errors.New("the answer is no JSON")
	}
	return err
}
