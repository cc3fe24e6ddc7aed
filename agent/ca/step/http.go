package step

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"redis-cert-agent/agent/cert"
)

const (
	userAgent = "redis-cert-agent"
	// maxAnswer bounds what is read of one answer. The longest that step-ca
	// gives, a page of 100 provisioners with templates, stays far below.
	maxAnswer = 2 << 20
	// maxRefusal bounds what is read of an error's body.
	maxRefusal = 16 << 10
)

// session is a handful of requests over one connection, with or without a
// client certificate. It is closed at the end of the call that opened it: the
// next one is hours away, and an idle connection costs both sides.
type session struct {
	c      *Client
	t      trust
	http   *http.Client
	mutual bool   // it presents a client certificate
	root   string // fingerprint of the root that the CA's own certificate chains to
}

// open prepares a session; the connection is made by the first request.
func (c *Client) open(t trust, conf *tls.Config) *session {
	conf.MinVersion = tls.VersionTLS12
	return &session{c: c, t: t, mutual: len(conf.Certificates) > 0, http: &http.Client{
		Transport: &http.Transport{
			// The step command honours HTTPS_PROXY and NO_PROXY, so who set
			// them for it expects them to count here. TLS goes end to end
			// through the proxy, which sees neither token nor key.
			Proxy:           http.ProxyFromEnvironment,
			TLSClientConfig: conf,
			// One connection serves the whole session, and a refused client
			// certificate shows on the request that met it.
			MaxConnsPerHost: 1,
		},
		// A followed redirect could carry a one-time token to another host,
		// or to the same one twice. step-ca does not redirect.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (s *session) close() { s.http.CloseIdleConnections() }

// call is one request.
type call struct {
	op     string // the deed, for errors
	method string
	path   string // with the query
	body   any    // sent as JSON when it is not nil
	bearer string // a token for the Authorization header, or empty
}

// do sends one request, once, and returns the body of a 2xx answer. Errors are
// *Error.
func (s *session) do(ctx context.Context, q call) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, s.c.opts.Timeout)
	defer cancel()
	var shook atomic.Bool
	req, err := s.c.request(httptrace.WithClientTrace(within, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { shook.Store(err == nil) },
	}), q)
	if err != nil {
		return nil, s.c.fault(q.op, err)
	}
	failed := func(err error, shook bool) error {
		if late := within.Err(); late != nil {
			err = late // what follows from it, like a closed connection, is no news
		}
		return s.noAnswer(ctx, q, err, shook)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, failed(err, shook.Load())
	}
	defer resp.Body.Close()
	s.noteRoot(resp.TLS)
	if resp.StatusCode/100 != 2 {
		return nil, s.refusal(q, resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, failed(err, false)
	case len(body) > maxAnswer:
		return nil, s.c.garbage(q.op, resp.StatusCode, fmt.Errorf("the answer is longer than %d MiB", maxAnswer>>20))
	}
	return body, nil
}

func (c *Client) request(ctx context.Context, q call) (*http.Request, error) {
	var body []byte
	if q.body != nil {
		var err error
		if body, err = json.Marshal(q.body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, q.method, c.base.String()+q.path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // so that net/http cannot rewind it and send a token again
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "application/json")
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+q.bearer)
	}
	return req, nil
}

// noteRoot remembers which root the CA's own certificate chains to.
func (s *session) noteRoot(state *tls.ConnectionState) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return
	}
	chain := state.VerifiedChains[0]
	s.root = cert.FingerprintOf(chain[len(chain)-1]).String()
}

// garbage is an answer of 2xx that is not step-ca's.
func (c *Client) garbage(op string, status int, err error) *Error {
	return &Error{Op: op, Status: status, Message: clean(err.Error()), url: c.base.String(), err: err,
		hint: "is this step-ca? check the URL, and what stands in front of it"}
}

// fault is trouble on this side, before anything was sent.
func (c *Client) fault(op string, err error) *Error {
	e := &Error{Op: op, Message: clean(err.Error()), err: err, local: true}
	if c.base != nil {
		e.url = c.base.String()
	}
	return e
}

// asError returns what do and its callers return as what it is.
func asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Op: "issue", Message: clean(err.Error()), err: err}
	}
	return e
}
