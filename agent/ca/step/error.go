package step

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"

	"redis-cert-agent/agent/ca"
)

// Error is why the CA did not do what Op names. Everything that Issue returns
// is one.
type Error struct {
	Op        string        // bootstrap, roots, provisioner, sign, rekey, renew, renew by token
	Status    int           // of the HTTP answer; 0 when there was none
	Message   string        // the CA's own words or the fault: one line, at most 300 characters
	RequestID string        // under which the CA logged the request, if it said
	After     time.Duration // from Retry-After; 0 when the CA named no time

	url     string
	hint    string // what to do about it
	earlier string // what the rungs before said
	hungUp  bool   // the CA refused the TLS connection or closed it without an answer
	local   bool   // nothing was sent
	err     error
}

// Error says the deed, where, what the CA said, what to do, and shortly what
// the earlier rungs met. It is one line and holds no secret.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.url != "" && !e.local {
		b.WriteString(": " + e.url)
		if e.Status != 0 {
			fmt.Fprintf(&b, " answers %d", e.Status)
		}
	}
	b.WriteString(": " + e.Message)
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	if e.After > 0 {
		fmt.Fprintf(&b, " (asks to wait %s)", e.After.Round(time.Second))
	}
	if e.hint != "" {
		b.WriteString("; " + e.hint)
	}
	if e.earlier != "" {
		b.WriteString("; before that " + e.earlier)
	}
	return b.String()
}

// Unwrap returns what net/http or the context said, when they did.
func (e *Error) Unwrap() error { return e.err }

// RetryAfter is how long the CA asks to be left alone, 0 when it did not ask.
func (e *Error) RetryAfter() time.Duration { return e.After }

// brief is what a later rung's error tells of this one.
func (e *Error) brief() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s: %d", e.Op, e.Status)
	}
	return ca.Cut(e.Op+": "+e.Message, 100)
}

// refusal reads an answer other than 2xx.
func (s *session) refusal(q call, resp *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	e := &Error{Op: q.op, Status: resp.StatusCode, Message: clean(refusalText(resp.StatusCode, body)), url: s.c.base.String(),
		RequestID: ca.Cut(clean(resp.Header.Get("X-Request-Id")), 64),
		After:     ca.ParseRetryAfter(resp.Header.Get("Retry-After"), time.Now())}
	e.hint = s.c.hint(e, resp.Header)
	return e
}

// refusalText takes the words out of an error's body: step-ca's is JSON with a
// message, a proxy's may be anything.
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
func (c *Client) hint(e *Error, h http.Header) string {
	switch {
	case e.Status/100 == 3:
		return fmt.Sprintf("the URL leads elsewhere (%s): configure where the CA itself listens", ca.Cut(clean(h.Get("Location")), 100))
	case e.Op == opBootstrap && e.Status == http.StatusNotFound:
		return "compare the configured fingerprint with `step certificate fingerprint root_ca.crt` on the CA"
	case e.Status == http.StatusNotFound:
		return "is this step-ca? check the URL"
	case e.Op == opSign && e.Status == http.StatusUnauthorized:
		if skew := clockSkew(h, time.Now()); skew != "" {
			return skew
		}
		return fmt.Sprintf("compare this host's clock with the CA's, and check that provisioner %q may sign; the CA's log has the reason", c.opts.Provisioner)
	case e.Op == opSign && e.Status == http.StatusForbidden && strings.Contains(e.Message, "duration"):
		return "ask for a lifetime that the provisioner allows"
	case e.Op == opSign && e.Status == http.StatusForbidden:
		return "ask the CA's administrator to allow the name"
	case e.trouble():
		return "the CA, or a proxy before it, is in trouble: see its log"
	case e.Status == http.StatusProxyAuthRequired:
		return "the proxy that the environment names wants a login"
	}
	return ""
}

// clockSkew says how far this host's clock is from the CA's, by the Date of its
// answer, when that is more than the minute that step-ca grants a token.
func clockSkew(h http.Header, now time.Time) string {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return ""
	}
	switch ahead := now.Sub(date).Round(time.Second); {
	case ahead > time.Minute:
		return fmt.Sprintf("this host's clock is %s ahead of the CA's: set it", ahead)
	case ahead < -time.Minute:
		return fmt.Sprintf("this host's clock is %s behind the CA's: set it", -ahead)
	}
	return ""
}

// noAnswer is a request that got none, or half of one. Shook tells that the TLS
// handshake had succeeded on this side in the course of it: in TLS 1.3 the
// server looks at the client certificate only after that (RFC 8446, 2), so a
// refusal of it shows as an alert, a reset or an end of file on the first read
// or write.
func (s *session) noAnswer(ctx context.Context, q call, err error, shook bool) *Error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	e := &Error{Op: q.op, Message: clean(err.Error()), url: s.c.base.String(), err: err}
	var timeout net.Error
	var alert *net.OpError
	var verify *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	switch {
	case ctx.Err() != nil:
		e.Message, e.err = clean(ctx.Err().Error()), ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Message = fmt.Sprintf("no answer within %s", s.c.opts.Timeout)
		e.hint = hintReach
	case errors.As(err, &verify):
		e.hint = s.t.hint(verify)
	case errors.As(err, &plain), strings.Contains(err.Error(), "HTTP response to HTTPS"):
		e.hint = "this port does not speak TLS: check the URL"
	case s.mutual && (shook || errors.As(err, &alert) && alert.Op == "remote error" ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
		e.hungUp = true
	default:
		e.hint = hintReach
	}
	return e
}

const hintReach = "check that the CA runs and that this host may reach it"

// hint says what to do when the CA's own certificate does not verify.
func (t trust) hint(err *tls.CertificateVerificationError) string {
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	const fingerprint = "configure the fingerprint of the new root (`step certificate fingerprint root_ca.crt` on the CA)"
	switch {
	case errors.As(err, &name):
		return "the CA's certificate is for other names: use one of them in the URL"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "compare this host's clock with the CA's; the CA's own certificate may have expired"
	case t.offered:
		return "the CA still offers the pinned root, but its own certificate comes from another: its root was rotated; " + fingerprint
	case t.err != nil:
		return "nor does the CA offer the pinned root (" + t.err.brief() + "): if its root was rotated, " + fingerprint
	}
	return "its certificate comes from none of the trusted roots: if the CA's root was rotated, " + fingerprint + ", else find out what answers there"
}

// token is a JWT in compact form: its header is JSON, in base64url.
var token = regexp.MustCompile(`eyJ[A-Za-z0-9_.-]{16,}`)

// clean makes foreign text fit for one line of a log: no control and no format
// characters, no token that the other side repeats, at most 300 characters.
func clean(s string) string {
	return ca.Cut(ca.Line(token.ReplaceAllString(s, "[token]")), ca.MaxMessage)
}
