package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/plan"
)

const (
	// maxBody bounds what is read of an answer, in bytes.
	maxBody = 4 << 10
	// maxText bounds what is passed on of it, in characters.
	maxText = 300
)

// post sends v as JSON for an agent of that version.
func (s Service) post(ctx context.Context, version string, v any) error {
	body, err := encode(v)
	if err != nil {
		return err
	}
	return s.do(ctx, version, http.MethodPost, body)
}

func (s Service) do(ctx context.Context, version, method string, body []byte) error {
	address, err := s.address()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL cannot be fetched; write it like https://example.com/hook") // the cause quotes it
	}
	req.Header.Set("User-Agent", "redis-cert-agent/"+version)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.TokenFile.Set() {
		token, err := s.TokenFile.Text()
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	var answered atomic.Bool
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { answered.Store(true) }}
	resp, err := client.Do(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	if err != nil {
		return unheard(err, answered.Load())
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	return s.refusal(resp)
}

// address returns the URL, which may be a secret.
func (s Service) address() (address string, err error) {
	address = s.URL
	if s.URLFile.Set() {
		if address, err = s.URLFile.Text(); err != nil {
			return "", err
		}
	}
	if err := urlFault(address); err != nil {
		return "", fmt.Errorf("%w; write it there alone, like https://example.com/hook", err)
	}
	return address, nil
}

// guarded says whether a service may repeat a secret.
func (s Service) guarded() bool { return s.secretBody || s.URLFile.Set() || s.TokenFile.Set() }

// client makes a client for one request: the next may be days away, and its
// roots others.
func (s Service) client() (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.RootsFile != "" {
		text, err := option.ReadFile(s.RootsFile)
		if err != nil {
			return nil, fmt.Errorf("roots_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("roots_file: there is no certificate in %s; name a PEM file of root certificates", s.RootsFile)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        conf,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		// A redirect would carry the token and the message to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// unheard says why there was no answer, or none that is HTTP, which Go's errors
// quote. A *url.Error quotes the whole URL in front of the cause.
func unheard(err error, answered bool) error {
	if answered {
		return errors.New("what answers does not speak HTTP; check the URL")
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return errors.New(plain.Clip(plain.OneLine(err.Error()), maxText))
}

// refusal says how a service answered that did not take a message.
func (s Service) refusal(resp *http.Response) error {
	code := resp.StatusCode
	f := &Failure{
		Text:    fmt.Sprintf("the service answers %d %s", code, http.StatusText(code)),
		After:   plan.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Lasting: code < 500 && code != http.StatusRequestTimeout && code != http.StatusTooManyRequests,
	}
	if !s.guarded() {
		// What cannot be read of it is only missing in the error.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		if said := firstLine(body); said != "" && said[0] != '<' {
			f.Text += ": " + said
		}
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

// firstLine returns the first line of foreign text, fit for a log.
func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return plain.Clip(plain.OneLine(string(line)), maxText)
}
