package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plan"
)

// errHungUp is the cause of an error where the CA refused the TLS connection of
// a client with a certificate, or closed it without an answer.
var errHungUp = errors.New("the CA ended the connection")

// ends reports whether no other way to ask is tried after e. Only a refusal of
// this one way, or a fault on this side, leads to the next.
func ends(e *ca.Error) bool {
	refused := e.Status/100 == 4 && !e.Unavailable()
	return !refused && !errors.Is(e, errHungUp) && !e.Local()
}

// brief returns what the error of a later way to ask tells of e.
func brief(e *ca.Error) string {
	if e.Status != 0 {
		return fmt.Sprintf("%s: %d", e.Op, e.Status)
	}
	return ca.Clean(e.Op+": "+e.Message, 100)
}

// refusal reads an answer other than 2xx.
func (s *session) refusal(op string, resp *http.Response) *ca.Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // half a reason is better than none
	e := &ca.Error{Op: op, URL: s.at.URL, Status: resp.StatusCode,
		Message:   ca.Clean(refusalText(resp.StatusCode, body), ca.MaxMessage),
		RequestID: ca.Clean(resp.Header.Get("X-Request-Id"), 64),
		After:     plan.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		Ahead:     s.ahead}
	e.Hint = s.hint(e, resp.Header)
	return e
}

// refusalText returns the message in the body of a refusal. step-ca sends JSON
// with a message, and a proxy may send anything.
func refusalText(status int, body []byte) string {
	var answer struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &answer) == nil && strings.TrimSpace(answer.Message) != "" {
		return answer.Message
	}
	text := strings.TrimSpace(string(body))
	if text == "" || strings.HasPrefix(text, "<") || strings.HasPrefix(text, "{") {
		text = http.StatusText(status)
	}
	if text == "" {
		text = "no reason given"
	}
	return text
}

// hint says what to do about a refusal. The status decides, never the text,
// except where one status has two remedies.
func (s *session) hint(e *ca.Error, h http.Header) string {
	switch {
	case e.Op == opBootstrap && e.Status == http.StatusNotFound:
		return "compare the configured fingerprint with `step certificate fingerprint root_ca.crt` on the CA"
	case e.Op == opSign && e.Status == http.StatusUnauthorized:
		if skew := clockSkew(e.Ahead); skew != "" {
			return skew
		}
		return fmt.Sprintf("compare this host's clock with the CA's, and check that provisioner %q may sign; the CA's log has the reason", s.c.opts.Provisioner)
	case e.Op == opSign && e.Status == http.StatusForbidden && strings.Contains(e.Message, "duration"):
		return "ask for a lifetime that the provisioner allows"
	case e.Op == opSign && e.Status == http.StatusForbidden:
		return "ask the CA's administrator to allow the name"
	}
	return s.at.StatusHint(e.Status, h)
}

// clockSkew says how far this host's clock is from the CA's, by the Date of its
// answer. It says nothing within the minute that step-ca allows a token.
func clockSkew(ahead time.Duration) string {
	switch ahead = ahead.Round(time.Second); {
	case ahead > time.Minute:
		return fmt.Sprintf("this host's clock is %s ahead of the CA's: set it", ahead)
	case ahead < -time.Minute:
		return fmt.Sprintf("this host's clock is %s behind the CA's: set it", -ahead)
	}
	return ""
}

// noAnswer returns the error of a request that got no answer, or half of one.
// Shook tells that the TLS handshake of this request succeeded on this side. In
// TLS 1.3 the server looks at the client certificate only after that (RFC 8446,
// section 2), so that its refusal shows as an alert, a reset or an end of file
// on the first read or write.
func (s *session) noAnswer(ctx context.Context, op string, err error, shook bool) *ca.Error {
	e := s.at.NoAnswer(ctx, op, err)
	var alert *net.OpError
	refused := shook || errors.As(err, &alert) && alert.Op == "remote error" ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if s.mutual && refused && ctx.Err() == nil && !ca.IsTimeout(err) {
		e.Hint, e.Err = "", errors.Join(errHungUp, err)
	}
	return e
}

const hintFingerprint = "configure the fingerprint of the new root (`step certificate fingerprint root_ca.crt` on the CA)"

// untrusted says what to do when the certificate of the CA's own server comes
// from none of the trusted roots.
func (t trust) untrusted() string {
	switch {
	case t.offered:
		return "the CA still offers the pinned root, but its own certificate comes from another: its root was rotated; " + hintFingerprint
	case t.err != nil:
		return "nor does the CA offer the pinned root (" + brief(t.err) + "): if its root was rotated, " + hintFingerprint
	}
	return "its certificate comes from none of the trusted roots: if the CA's root was rotated, " + hintFingerprint + ", else find out what answers there"
}
