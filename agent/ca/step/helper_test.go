package step

import (
	"context"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

var names = []string{"redis1.internal", "redis2.internal", "127.0.0.1", "fd00::1"}

func issue(t *testing.T, c *Client, r ca.Request) ca.Issued {
	t.Helper()
	if r.Names == nil {
		r.Names = names
	}
	if r.KeyType == "" {
		r.KeyType = cert.P256
	}
	got, err := c.Issue(context.Background(), r)
	if err != nil {
		t.Fatalf("issue: %v", err)
	}
	return got
}

// refused is for requests that must fail. It checks what holds for every
// error: a type, one line, no secret.
func refused(t *testing.T, c *Client, r ca.Request) *ca.Error {
	t.Helper()
	if r.Names == nil {
		r.Names = names
	}
	if r.KeyType == "" {
		r.KeyType = cert.P256
	}
	got, err := c.Issue(context.Background(), r)
	if err == nil {
		t.Fatalf("issued by %s, want an error", got.Method)
	}
	e, ok := err.(*ca.Error)
	if !ok {
		t.Fatalf("error of type %T, want *ca.Error: %v", err, err)
	}
	text := e.Error()
	if strings.ContainsAny(text, "\n\r\x1b") || len([]rune(text)) > 1000 {
		t.Errorf("not one line: %q", text)
	}
	if strings.Contains(text, "eyJ") {
		t.Errorf("a token shows: %s", text)
	}
	if c.opts.Password.Set() {
		if p, err := c.opts.Password.Read(); err == nil && len(p) > 0 && strings.Contains(text, string(p)) {
			t.Errorf("the password shows: %s", text)
		}
	}
	return e
}

// says checks that an error tells all of words.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error without %q: %v", w, err)
		}
	}
	t.Log(err)
}

func pair(t *testing.T, i ca.Issued) *cert.Pair {
	t.Helper()
	p, err := cert.New(i.Chain, i.Key, i.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// good checks an answer as the agent does before it touches disk.
func good(t *testing.T, i ca.Issued, method string, wanted []string, kt cert.KeyType) *cert.Pair {
	t.Helper()
	if i.Method != method {
		t.Errorf("issued by %s, want %s", i.Method, method)
	}
	p := pair(t, i)
	need := cert.Need{Names: wanted, KeyType: kt, Client: true, Roots: i.Roots}
	if err := need.Check(p, time.Now()); err != nil {
		t.Error(err)
	}
	return p
}
