package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// maxBody bounds what is read of the answer of a service that refuses.
	maxBody = 4 << 10
	// maxText bounds an error, in characters.
	maxText = 300
)

// A Service is a URL, and what is needed to be heard there.
type Service struct {
	URL   func() (string, error) // read at each use
	Token func() (string, error) // for Authorization: Bearer; nil: none
	Roots string                 // a PEM file with the roots that the service is verified by; empty: those of the system
	Agent string                 // the value of User-Agent
}

// post sends v as JSON. Secrets are what of v must not come back in an error.
func (s Service) post(ctx context.Context, v any, secrets ...string) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	return s.do(ctx, http.MethodPost, body, secrets)
}

func (s Service) do(ctx context.Context, method string, body []byte, secrets []string) error {
	address, err := s.URL()
	if err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return errors.New("the URL is not one; write it there alone, like https://example.com/hook") // the cause quotes it
	}
	secrets = append(secrets, parts(address, u)...)
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be fetched; write it like https://example.com/hook")
	}
	req.Header.Set("User-Agent", s.Agent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.Token != nil {
		token, err := s.Token()
		if err != nil {
			return err
		}
		secrets = append(secrets, token)
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return errors.New(hide(cause(err).Error(), secrets))
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return s.refusal(resp, secrets)
}

// client makes a client for one request: the next may be days away, and its
// roots others.
func (s Service) client() (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.Roots != "" {
		text, err := os.ReadFile(s.Roots)
		if err != nil {
			return nil, fmt.Errorf("roots_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("roots_file: there is no certificate in %s; name a PEM file of root certificates", s.Roots)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        conf,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		// A redirect would carry the token, and the news, to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// refusal tells what a service says that did not take a message.
func (Service) refusal(resp *http.Response, secrets []string) error {
	code := resp.StatusCode
	f := &Failure{
		Text:    fmt.Sprintf("the service answers %d %s", code, http.StatusText(code)),
		After:   retryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Lasting: code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests,
	}
	// What cannot be read of it is only missing in the error.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if said := hide(string(body), secrets); said != "" && said[0] != '<' {
		f.Text += ": " + said
	}
	switch {
	case code/100 == 3:
		f.Text += "; a redirect is not followed: give the URL where it leads"
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		f.Text += "; check the token, or the URL where that is the secret"
	case code == http.StatusNotFound, code == http.StatusGone:
		f.Text += "; check the URL"
	}
	return f
}

// retryAfter reads seconds or an HTTP date (RFC 9110, 10.2.3). What is neither,
// or past, is 0.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}

// cause returns what is wrong. A *url.Error quotes the whole URL in front of it.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// hide returns the first line of text without what is secret.
func hide(text string, secrets []string) string {
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // the whole before its parts
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return firstLine(text)
}

// parts returns what of a URL a service might repeat in its answer and nobody
// else should read: the path, the query, and the words in them that are long
// enough to be a secret.
func parts(address string, u *url.URL) []string {
	all := []string{address}
	for _, text := range []string{u.Path, u.EscapedPath(), u.RawQuery} {
		if len(text) > 1 {
			all = append(all, text)
		}
		for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("/=&;", r) }) {
			if len(word) >= 6 {
				all = append(all, word)
			}
		}
	}
	for _, values := range u.Query() {
		for _, v := range values {
			if len(v) >= 6 {
				all = append(all, v)
			}
		}
	}
	return all
}

// firstLine makes foreign text fit for a log: its first line, without control
// characters, and not too long.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText-1]) + "…"
	}
	return s
}
