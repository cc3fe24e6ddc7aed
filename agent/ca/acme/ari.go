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
	"redis-cert-agent/agent/plan"
)

// How long after one question for a window to ask again. RFC 9773, section 4.3.2,
// asks for "reasonable limits" to Retry-After, such as a minute and a day, and
// section 4.3.3 for six hours where the CA names no time.
const (
	leastAgain   = time.Minute
	mostAgain    = plan.MaxAfter
	defaultAgain = 6 * time.Hour
)

// Suggest asks when the CA wants leaf to be renewed (RFC 9773). Nothing is suggested
// when the CA offers no such information, or does not know the certificate.
//
// Issuer is the certificate that signed leaf. It identifies the leaf's issuer
// where the leaf itself does not, and may be nil.
//
// The error is a *ca.Error. The caller then decides alone when to renew.
func (c *Client) Suggest(ctx context.Context, leaf, issuer *x509.Certificate) (ca.Suggestion, error) {
	if c.bad != nil {
		return ca.Suggestion{}, ca.Fault(opSuggest, c.bad)
	}
	id, err := certID(leaf, issuer)
	if err != nil {
		return ca.Suggestion{}, ca.Fault(opSuggest, err)
	}
	s, err := c.open(ctx, nil)
	defer s.close()
	if err != nil {
		return ca.Suggestion{}, err
	}
	if s.dir.RenewalInfo == "" {
		return ca.Suggestion{Again: mostAgain}, nil
	}
	body, err := s.window(ctx, id)
	if err != nil {
		var e *ca.Error
		if errors.As(err, &e) && e.Status == http.StatusNotFound {
			return ca.Suggestion{Again: mostAgain}, nil
		}
		return ca.Suggestion{}, err
	}
	w, err := parseWindow(body)
	if err != nil {
		return ca.Suggestion{}, s.garbage(opSuggest, err)
	}
	again := s.wire.answer().after
	if again == 0 {
		again = defaultAgain
	}
	return ca.Suggestion{From: w.SuggestedWindow.Start, To: w.SuggestedWindow.End, Again: max(again, leastAgain),
		Explanation: ca.Clean(w.ExplanationURL, 200)}, nil
}

// certID returns the identifier of a certificate in renewal information (RFC 9773,
// section 4.1), which is made of its issuer's key identifier and its serial.
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

// window fetches the renewal information of one certificate. It asks once, where
// acmez would ask a CA that fails nine times, and would not pass on its answer.
func (s *session) window(ctx context.Context, id string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.dir.RenewalInfo, "/")+"/"+id, nil)
	if err != nil {
		return nil, s.garbage(opSuggest, err)
	}
	req.Header.Set("User-Agent", ca.UserAgent)
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
