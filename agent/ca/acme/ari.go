package acme

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
)

// How long after one question for a window to ask again. RFC 9773, section 4.3,
// wants "reasonable limits" to Retry-After, such as a minute and a day, and six
// hours where the CA names no time.
const (
	leastAgain   = time.Minute
	mostAgain    = 24 * time.Hour
	defaultAgain = 6 * time.Hour
)

// Suggest asks when the CA would like leaf to be renewed (RFC 9773): at a
// random moment from start to end, at once when that has passed. Both are zero
// when the CA offers no such information, or does not know the certificate.
// Again is how long to wait before asking anew, also then.
//
// Issuer is the certificate that signed leaf; it names the leaf's issuer where
// the leaf itself does not, and may be nil.
//
// The error is an *Error. Who gets one decides alone when to renew, and asks
// again as its RetryAfter says, or with growing distance.
func (c *Client) Suggest(ctx context.Context, leaf, issuer *x509.Certificate) (start, end time.Time, again time.Duration, err error) {
	fail := func(err error) (time.Time, time.Time, time.Duration, error) {
		return time.Time{}, time.Time{}, 0, err
	}
	if c.bad != nil {
		return fail(c.fault(opSuggest, c.bad))
	}
	id, err := certID(leaf, issuer)
	if err != nil {
		return fail(c.fault(opSuggest, err))
	}
	s, err := c.open(ctx, nil)
	defer s.close()
	if err != nil {
		return fail(err)
	}
	if s.dir.RenewalInfo == "" {
		return time.Time{}, time.Time{}, mostAgain, nil
	}
	body, err := s.window(ctx, id)
	if err != nil {
		var e *Error
		if errors.As(err, &e) && e.Status == http.StatusNotFound {
			return time.Time{}, time.Time{}, mostAgain, nil
		}
		return fail(err)
	}
	w, err := parseWindow(body)
	if err != nil {
		return fail(s.garbage(opSuggest, err))
	}
	c.explain(w.ExplanationURL)
	if again = s.wire.answer().after; again == 0 {
		again = defaultAgain
	}
	return w.SuggestedWindow.Start, w.SuggestedWindow.End, min(max(again, leastAgain), mostAgain), nil
}

// certID names a certificate to the CA (RFC 9773, section 4.1): the key
// identifier of its issuer and its serial number.
func certID(leaf, issuer *x509.Certificate) (string, error) {
	named := *leaf
	if len(named.AuthorityKeyId) == 0 && issuer != nil {
		named.AuthorityKeyId = issuer.SubjectKeyId
	}
	if len(named.AuthorityKeyId) == 0 {
		return "", errors.New("the certificate does not name its issuer's key, so the CA cannot be asked about it")
	}
	return acme.ARIUniqueIdentifier(&named)
}

// window fetches the renewal information of one certificate, once: acmez would
// ask a CA in trouble nine times, and not tell what it said.
func (s *session) window(ctx context.Context, id string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.dir.RenewalInfo, "/")+"/"+id, nil)
	if err != nil {
		return nil, s.garbage(opSuggest, err)
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := s.acme.HTTPClient.Do(req)
	if err != nil {
		return nil, s.failed(ctx, opSuggest, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil && resp.StatusCode/100 == 2:
		return nil, s.garbage(opSuggest, err)
	case resp.StatusCode/100 == 2:
		return body, nil
	}
	err = fmt.Errorf("HTTP %d", resp.StatusCode)
	var p acme.Problem
	if json.Unmarshal(body, &p) == nil && p.Type != "" {
		err = p
	}
	return nil, s.failed(ctx, opSuggest, err)
}

// renewalInfo is the answer of RFC 9773, section 4.2.
type renewalInfo struct {
	SuggestedWindow struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end"`
	} `json:"suggestedWindow"`
	ExplanationURL string `json:"explanationURL"`
}

// parseWindow reads renewal information. "A RenewalInfo object in which the end
// timestamp equals or precedes the start timestamp is invalid" (RFC 9773,
// section 4.2).
func parseWindow(body []byte) (renewalInfo, error) {
	var r renewalInfo
	if err := json.Unmarshal(body, &r); err != nil {
		return renewalInfo{}, errors.New("the renewal information is no JSON of an ACME CA")
	}
	w := r.SuggestedWindow
	if w.Start.IsZero() || !w.End.After(w.Start) {
		return renewalInfo{}, fmt.Errorf("the renewal information names no window: from %s to %s",
			w.Start.Format(time.RFC3339), w.End.Format(time.RFC3339))
	}
	return r, nil
}

// explain passes on why the CA suggests its window, each reason once:
// "Conforming clients SHOULD provide this URL to their operator, if present"
// (RFC 9773, section 4.2).
func (c *Client) explain(url string) {
	c.mu.Lock()
	news := url != c.explained
	c.explained = url
	c.mu.Unlock()
	if news && url != "" {
		c.opts.Warn(fmt.Sprintf("%s explains when it wants its certificates renewed: %s", c.base.Host, ca.Cut(clean(url), 200)))
	}
}
