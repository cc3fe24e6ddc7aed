package check

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// One that never answers holds up nobody else, however many there are.
func TestRunPassesByTheDead(t *testing.T) {
	const living = Parallel + 30
	e := listen(t, living)
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	w := usual()
	silent := Target{Kind: Server, Want: w, Peer: reload.Server{Address: dead.Addr().String(), Timeout: time.Hour}}
	others := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		<-others
	}()
	var done atomic.Int64
	_, err = Run(ctx, append([]Target{silent}, e.targets...), now, func() {
		if done.Add(1) == living {
			close(others)
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v: the dead one has answered?", err)
	}

	silent.Peer.Timeout = 50 * time.Millisecond
	r, err := Run(t.Context(), append([]Target{silent}, e.targets...), now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Counts.OK != living || r.Counts.Critical != 1 || r.Targets[0].Target != dead.Addr().String() {
		t.Errorf("%s; first %+v", r.Summary, r.Targets[0])
	}
}

func TestUnreachable(t *testing.T) {
	target := Target{Kind: Server, Peer: reload.Server{Address: "nowhere.invalid:6379", Timeout: 5 * time.Second}}
	other := errors.New("connection refused")
	for want, err := range map[string]error{
		"there is no host nowhere.invalid: check the name":   fmt.Errorf("probe: %w", &net.DNSError{Name: "nowhere.invalid", IsNotFound: true}),
		"no answer within 5s: the host is down, a firewall":  fmt.Errorf("probe: %w", context.DeadlineExceeded),
		"no answer within 5s: the host is down, a firewall ": fmt.Errorf("probe: %w", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}),
		"read: i/o timeout":  &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded},
		"connection refused": other,
	} {
		if got := explain(err, target.Peer.Timeout); !strings.HasPrefix(got.Error(), want) {
			t.Errorf("%v becomes %v, want %s", err, got, want)
		}
	}
	if err := explain(nil, 0); err != nil {
		t.Error(err)
	}
	target.Peer = reload.Server{Address: "127.0.0.1:1", Timeout: 1} // too short for any connection
	r, err := Run(t.Context(), []Target{target}, now, nil)
	if err != nil || codes(r.Targets[0]) != "CRITICAL unreachable" || !strings.HasPrefix(r.Targets[0].Findings[0].Text, "no answer within 1ns: ") {
		t.Errorf("%+v, %v", r, err)
	}
}

// What files are: a certificate with its key, or CA certificates, each for
// itself.
func TestRunFiles(t *testing.T) {
	dir := t.TempDir()
	root := redistest.NewRoot(t)
	p := root.Issue(t, redistest.Leaf{NotAfter: time.Now().Add(90 * day)})
	f := p.Write(t, dir)
	self := redistest.SelfSigned(t, redistest.Leaf{NotAfter: time.Now().Add(90 * day)}).Write(t, t.TempDir())
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	w := Want{Warn: cert.Margin{Share: 0.25}, Crit: cert.Margin{Share: 0.1}, Trust: NewTrust([]*x509.Certificate{p.Root})}
	none := Keys{Group: -1}
	for name, c := range map[string]struct {
		t     Target
		kind  Kind
		codes string
	}{
		"certificate": {Target{Kind: File, Path: f.Cert, Key: none, Want: w}, File, ""},
		"its key":     {Target{Kind: File, Path: f.Cert, Key: Keys{f.Key, -1}, Want: w}, File, ""},
		"group":       {Target{Kind: File, Path: f.Cert, Key: Keys{f.Key, os.Getgid()}, Want: w}, File, "WARNING key-closed"},
		"another key": {Target{Kind: File, Path: f.Cert, Key: Keys{self.Key, -1}, Want: w}, File, "CRITICAL key-mismatch"},
		"no key":      {Target{Kind: File, Path: f.Cert, Key: Keys{f.Cert, -1}, Want: w}, File, "CRITICAL malformed"},
		"root":        {Target{Kind: File, Path: f.CA, Key: none, Want: w}, CA, ""},
		"self-signed": {Target{Kind: File, Path: self.Cert, Key: none, Want: w}, File, "CRITICAL self-signed"},
		"directory":   {Target{Kind: File, Path: dir, Key: none, Want: w}, File, "CRITICAL malformed"},
		"too big":     {Target{Kind: File, Path: big, Key: none, Want: w}, File, "CRITICAL malformed"},
		"missing":     {Target{Kind: CA, Path: f.CA + "x", Want: w}, CA, "CRITICAL missing"},
	} {
		r, err := Run(t.Context(), []Target{c.t}, time.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Targets[0]; codes(got) != c.codes || got.Kind != c.kind {
			t.Errorf("%s: %s %s, want %s %s", name, got.Kind, codes(got), c.kind, c.codes)
		}
	}
}

// A chain that somebody made to be looked at for long: CAs of one name, each
// perhaps the issuer of each.
func TestJudgeManyOfOneName(t *testing.T) {
	root := newCA(t, nil, "twin", -year, year)
	chain := []*authority{issue(t, root, nil, nil)}
	for range 100 {
		chain = append(chain, newCA(t, newCA(t, nil, "twin", -year, year), "twin", -year, year))
	}
	r := Judge(shown(chain...), usual(), now)
	if r.State == OK || len(r.Certificates) > longest+1 {
		t.Errorf("%s, %d certificates", r.State, len(r.Certificates))
	}
}
