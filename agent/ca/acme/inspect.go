package acme

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"redis-cert-agent/agent/ca"
)

// Inspect fetches the root with the configured fingerprint and the directory, and makes no
// order. A named root is of no help here, because a fingerprint that leads to no root is
// what it is to find.
func (c *Client) Inspect(ctx context.Context, _ []*x509.Certificate) (ahead time.Duration, err error) {
	return c.inspect(ctx, func(*session) error { return nil })
}

// inspect looks anew, and then does more in the same session.
func (c *Client) inspect(ctx context.Context, more func(*session) error) (ahead time.Duration, err error) {
	if c.bad != nil {
		return 0, ca.Fault("inspect", c.bad)
	}
	anew := New(c.opts)
	anew.system = c.system
	s, err := anew.prepare(ctx, nil)
	defer s.close()
	if err != nil {
		ahead, _ = ca.AheadOf(err)
		return ahead, err
	}
	if err = s.readDirectory(ctx); err == nil {
		err = s.agreed()
	}
	if err == nil {
		err = more(s)
	}
	return s.wire.answer().ahead, err
}

// readDirectory reads the directory from the CA: acmez keeps one for twelve hours.
func (s *session) readDirectory(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.c.base.String(), nil)
	if err != nil {
		return ca.Fault(opDirectory, err)
	}
	req.Header.Set("User-Agent", ca.UserAgent)
	resp, err := s.acme.HTTPClient.Do(req)
	if err != nil {
		return s.failed(ctx, opDirectory, err)
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&s.dir)
	switch {
	case resp.StatusCode != http.StatusOK:
		return s.failed(ctx, opDirectory, errors.New(resp.Status))
	case err != nil:
		return s.garbage(opDirectory, fmt.Errorf("JSON-decoding: %w", err))
	case s.dir.NewOrder == "":
		return s.garbage(opDirectory, errors.New("required directory fields are missing"))
	}
	return nil
}
