package step

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/secret"
)

const opToken = "token"

// tokenLeeway is how long after its end step-ca still takes a token.
const tokenLeeway = time.Minute

// A Token is what a one-time token says of itself. Nobody has checked its signature.
type Token struct {
	Subject string   `json:"sub"`
	Names   []string `json:"sans"`
	End     int64    `json:"exp"`
}

// ParseToken reads a one-time token as `step ca token` makes it. The error holds none of
// it.
func ParseToken(text string) (Token, error) {
	var t Token
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return t, errors.New("this is no one-time token: make one with `step ca token NAME`")
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(claims, &t) != nil || t.Subject == "" {
		return t, errors.New("this is no one-time token: it does not say for whom it is; make one with `step ca token NAME`")
	}
	if len(t.Names) == 0 {
		t.Names = []string{t.Subject}
	}
	return t, nil
}

// Fits returns why t serves for no certificate with names at the time now.
func (t Token) Fits(names []string, now time.Time) error {
	if end := time.Unix(t.End, 0); t.End > 0 && now.After(end.Add(tokenLeeway)) {
		return fmt.Errorf("the token ended at %s: make another one, and bring it at once", plain.Time(end))
	}
	if !sameNames(t.Names, names) || !slices.Contains(names, t.Subject) {
		want := "step ca token " + names[0]
		for _, n := range names {
			want += " --san " + n
		}
		return fmt.Errorf("the token is for %s, and the configuration wants %s: make it with `%s`",
			ca.Clean(strings.Join(t.Names, ", "), 300), strings.Join(names, ", "), want)
	}
	return nil
}

func sameNames(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	sort.Strings(a)
	sort.Strings(b)
	return slices.Equal(a, b)
}

// given returns the token that somebody brought; empty where there is none.
func (c *Client) given() (string, error) {
	if c.opts.TokenFile == "" {
		return "", nil
	}
	if _, err := os.Lstat(c.opts.TokenFile); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return secret.File(c.opts.TokenFile).Text()
}

// byGivenToken asks for a new certificate with the token that somebody brought. It serves
// for one request: once the CA has answered, it is removed. Where nobody brought one, there
// is neither a certificate nor an error.
func (c *Client) byGivenToken(ctx context.Context, t trust, r ca.Request) (ca.Issued, *ca.Error) {
	token, err := c.given()
	if token == "" && err == nil {
		return ca.Issued{}, nil
	}
	said := Token{}
	if err == nil {
		said, err = ParseToken(token)
	}
	if err == nil {
		err = said.Fits(r.Names, time.Now())
	}
	if err != nil {
		return ca.Issued{}, ca.Fault(opToken, fmt.Errorf("%s: %w", c.opts.TokenFile, err))
	}
	// The CA wants the subject of the token as the common name.
	r.Names = append([]string{said.Subject}, slices.DeleteFunc(slices.Clone(r.Names), func(n string) bool { return n == said.Subject })...)
	s := c.open(t, &tls.Config{RootCAs: t.pool})
	defer s.close()
	issued, failed := c.sign(ctx, s, r, token)
	if failed == nil || !ends(failed) {
		// What it cannot remove it would only send again, and be refused.
		_ = os.Remove(c.opts.TokenFile)
	}
	return issued, failed
}
