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
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

const (
	// maxAnswer bounds what is read of one answer. The longest that step-ca
	// gives, a page of 100 provisioners with templates, stays far below.
	maxAnswer = 2 << 20
	// maxRefusal bounds what is read of an error's body.
	maxRefusal = 16 << 10
)

// session makes the requests of one way to ask over one connection, with or
// without a client certificate. The call that opened it closes it.
type session struct {
	c      *Client
	at     ca.Endpoint // the CA, as errors describe it
	http   *http.Client
	mutual bool          // whether it presents a client certificate
	ahead  time.Duration // of this host's clock, by the last answer
	root   string        // the fingerprint of the root that the CA's own certificate chains to
}

// open prepares a session. The first request makes the connection.
func (c *Client) open(t trust, conf *tls.Config) *session {
	at := c.at
	at.Untrusted = t.untrusted()
	return &session{c: c, at: at, mutual: len(conf.Certificates) > 0,
		http: &http.Client{Transport: ca.NewTransport(conf), CheckRedirect: ca.NoRedirect}}
}

func (s *session) close() { s.http.CloseIdleConnections() }

// call is one request.
type call struct {
	op     string // the step, for errors
	method string
	path   string // with the query
	body   any    // sent as JSON when it is not nil
	bearer string // a token for the Authorization header, or empty
}

// do sends one request, once, and returns the body of an answer of 2xx. The
// error is a *ca.Error.
func (s *session) do(ctx context.Context, q call) ([]byte, error) {
	within, cancel := context.WithTimeout(ctx, s.c.opts.Timeout)
	defer cancel()
	var shook atomic.Bool
	req, err := s.c.request(httptrace.WithClientTrace(within, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) { shook.Store(err == nil) },
	}), q)
	if err != nil {
		return nil, ca.Fault(q.op, err)
	}
	failed := func(err error, shook bool) error {
		if late := within.Err(); late != nil {
			err = late // the cause; err is what followed, for example a closed connection
		}
		return s.noAnswer(ctx, q.op, err, shook)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, failed(err, shook.Load())
	}
	defer resp.Body.Close()
	s.noteRoot(resp.TLS)
	s.ahead = ca.Ahead(resp.Header, time.Now())
	if resp.StatusCode/100 != 2 {
		return nil, s.refusal(q.op, resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, failed(err, false)
	case len(body) > maxAnswer:
		return nil, s.at.Garbage(q.op, resp.StatusCode, fmt.Errorf("the answer is longer than %d MiB", maxAnswer>>20))
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
	req.GetBody = nil // net/http cannot rewind the body then, and send a token again
	req.Header.Set("User-Agent", ca.UserAgent)
	req.Header.Set("Accept", "application/json")
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+q.bearer)
	}
	return req, nil
}

// noteRoot remembers to which root the CA's own certificate leads.
func (s *session) noteRoot(state *tls.ConnectionState) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return
	}
	chain := state.VerifiedChains[0]
	s.root = cert.FingerprintOf(chain[len(chain)-1]).String()
}

// asError returns the *ca.Error that do and its callers return.
func asError(err error) *ca.Error {
	var e *ca.Error
	if !errors.As(err, &e) {
		return ca.Fault("issue", err)
	}
	return e
}
