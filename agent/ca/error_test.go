package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The text holds all that is known, in one order, whatever is missing.
func TestErrorText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  Error
		want string
	}{
		{Error{Op: "sign", Message: "no names are configured"}, "sign: no names are configured"},
		{Error{Op: "roots", URL: "https://ca", Message: "EOF", Hint: hintReach}, "roots: https://ca: EOF; " + hintReach},
		{Error{Op: "sign", URL: "https://ca", Status: 503, Message: "busy", RequestID: "r1", After: 1500 * time.Millisecond, Hint: "see its log", Earlier: "rekey: 401"},
			"sign: https://ca answers 503: busy (request r1) (asks to wait 2s); see its log; before that rekey: 401"},
		{Error{Op: "prove", Name: "a.internal", URL: "https://ca", Type: "connection", Message: "refused"}, "prove a.internal: https://ca: connection: refused"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// Whatever wraps or joins an error, its cause, its type and its Retry-After are
// found.
func TestErrorIsFound(t *testing.T) {
	t.Parallel()
	inner := &Error{Op: "order", URL: "https://ca", Status: 429, After: time.Hour, Err: syscall.ECONNRESET}
	err := fmt.Errorf("no new certificate: %w", errors.Join(errors.New("another authority"), inner))
	var e *Error
	if !errors.As(err, &e) || e != inner || !errors.Is(err, syscall.ECONNRESET) || RetryAfter(err) != time.Hour {
		t.Errorf("%v, %s", e, RetryAfter(err))
	}
	if after := RetryAfter(errors.New("x")); after != 0 {
		t.Errorf("an error that does not ask waits %s", after)
	}
}

func TestLocalAndUnavailable(t *testing.T) {
	t.Parallel()
	if e := Fault("sign", errors.New("no\npassword")); !e.Local() || e.Unavailable() || e.Message != "no password" {
		t.Errorf("%+v", e)
	}
	for status, want := range map[int]bool{0: false, 200: false, 404: false, 408: true, 429: true, 500: true, 503: true} {
		e := Error{URL: "https://ca", Status: status}
		if e.Local() || e.Unavailable() != want {
			t.Errorf("%d: local %t, unavailable %t", status, e.Local(), e.Unavailable())
		}
	}
}

// What net/http says becomes words and a remedy.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	at := Endpoint{URL: "https://ca", Kind: "step-ca", Timeout: 20 * time.Second, Untrusted: "pin the new root"}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	verify := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want string
	}{
		{"refused", t.Context(), syscall.ECONNREFUSED, "connection refused; " + hintReach},
		{"too slow", t.Context(), context.DeadlineExceeded, "no answer within 20s; " + hintReach},
		{"cancelled", ended, syscall.ECONNRESET, "cancelled"},
		{"too late", late, syscall.ECONNRESET, "not done in time"},
		{"no TLS", t.Context(), tls.RecordHeaderError{Msg: "first record"}, "this port does not speak TLS"},
		{"other name", t.Context(), verify(x509.HostnameError{Certificate: new(x509.Certificate), Host: "ca"}), "use one of them in the URL"},
		{"expired", t.Context(), verify(x509.CertificateInvalidError{Reason: x509.Expired}), "compare this host's clock"},
		{"other root", t.Context(), verify(x509.UnknownAuthorityError{}), "; pin the new root"},
	}
	for _, tt := range tests {
		e := at.NoAnswer(tt.ctx, "sign", &url.Error{Op: "Post", URL: "https://ca/secret", Err: tt.err})
		if text := e.Error(); !strings.HasPrefix(text, "sign: https://ca: ") || !strings.Contains(text, tt.want) || strings.Contains(text, "/secret") {
			t.Errorf("%s: %s", tt.name, text)
		}
		if cause := tt.ctx.Err(); cause != nil && !errors.Is(e, cause) || cause == nil && errors.Unwrap(e) == nil {
			t.Errorf("%s: the cause is %v", tt.name, errors.Unwrap(e))
		}
	}
}

func TestStatusHint(t *testing.T) {
	t.Parallel()
	at := Endpoint{URL: "https://ca", Kind: "step-ca"}
	for status, want := range map[int]string{
		307: "leads elsewhere (https://other [31m)", 404: "is this step-ca?", 407: "wants a login", 408: "in trouble", 429: "limits requests", 500: "see its log", 418: "", 201: "",
	} {
		h := http.Header{"Location": {"https://other\n\x1b[31m"}}
		if got := at.StatusHint(status, h); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%d: %q", status, got)
		}
	}
}
