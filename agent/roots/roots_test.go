package roots

import (
	"crypto/x509"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload/redistest"
)

// What stands in the bundle, step by step: each step says who names which roots, which
// chains there are and how much time has passed, and what is to join and to leave.
func TestNext(t *testing.T) {
	a, b, foreign := redistest.NewRoot(t), redistest.NewRoot(t), redistest.NewRoot(t)
	ofA, ofB := a.Issue(t, redistest.Leaf{}).Chain, b.Issue(t, redistest.Leaf{}).Chain
	path := filepath.Join(t.TempDir(), "roots.json")
	book, now := Read(path), time.Now()
	bundle := []*x509.Certificate{a.Cert, foreign.Cert}
	const ca, day = "https://ca", 24 * time.Hour
	type list = []*x509.Certificate
	for _, step := range []struct {
		name       string
		names      list
		chains     []list
		pass       time.Duration
		incomplete bool
		source     string
		joins      list
		leaves     list
	}{
		{"one root", list{a.Cert}, []list{ofA}, day, false, ca, nil, nil},
		{"another is announced", list{a.Cert, b.Cert}, []list{ofA}, day, false, ca, list{b.Cert}, nil},
		{"it is used", list{b.Cert, a.Cert}, []list{ofB}, day, false, ca, nil, nil},
		{"the old one is dropped, and needed", list{b.Cert}, []list{ofB, ofA}, 60 * day, false, ca, nil, nil},
		{"nothing needs it", list{b.Cert}, []list{ofB}, 29 * day, false, ca, nil, nil},
		{"a certificate needs it again", list{b.Cert}, []list{ofB, ofA}, 2 * day, false, ca, nil, nil},
		{"nothing needs it", list{b.Cert}, []list{ofB}, 29 * day, false, ca, nil, nil},
		{"the time is up, and somebody has not said", list{b.Cert}, []list{ofB}, 2 * day, true, ca, nil, nil},
		{"it leaves", list{b.Cert}, []list{ofB}, 0, false, ca, nil, list{a.Cert}},
		{"an authority that is not configured names it", list{a.Cert, b.Cert}, []list{ofB}, 0, false, "https://other", nil, list{a.Cert}},
	} {
		book.Named(step.source, step.names, now)
		f := Facts{Bundle: bundle, Sources: []string{ca}, Learned: step.names, Chains: step.chains, Complete: !step.incomplete}
		joins, leaves := book.Next(now, f)
		now = now.Add(step.pass)
		if len(step.leaves) == 0 {
			_, leaves = book.Next(now, f)
		}
		if !slices.Equal(joins, step.joins) || !slices.Equal(leaves, step.leaves) {
			t.Errorf("%s: %d join and %d leave, want %d and %d", step.name, len(joins), len(leaves), len(step.joins), len(step.leaves))
		}
		bundle = append(bundle, joins...)
		if err := book.Write(); err != nil {
			t.Fatal(err)
		}
		if book = Read(path); !slices.ContainsFunc(bundle, foreign.Cert.Equal) || book.Roots[cert.FingerprintOf(foreign.Cert).String()] != nil {
			t.Error("what no authority named is in the book")
		}
	}
}

// A clock that was set back does not shorten the grace period.
func TestGraceAfterClockStep(t *testing.T) {
	a, b := redistest.NewRoot(t), redistest.NewRoot(t)
	book, now := Read(""), time.Now()
	book.Named("ca", []*x509.Certificate{a.Cert, b.Cert}, now)
	book.Named("ca", []*x509.Certificate{b.Cert}, now)
	f := Facts{Bundle: []*x509.Certificate{a.Cert, b.Cert}, Sources: []string{"ca"}, Complete: true}
	book.Next(now.AddDate(1, 0, 0), f)
	book.Next(now, f)
	if _, leaves := book.Next(now.Add(LeastGrace-time.Hour), f); len(leaves) > 0 {
		t.Error("it leaves early")
	}
	if _, leaves := book.Next(now.Add(LeastGrace), f); len(leaves) != 1 {
		t.Error("it does not leave")
	}
	if got := book.Grace(0); got != LeastGrace {
		t.Errorf("grace %s", got)
	}
	book.Saw(&x509.Certificate{NotBefore: now, NotAfter: now.AddDate(1, 0, 0)})
	if got := book.Grace(0); got < 365*24*time.Hour {
		t.Errorf("grace %s, shorter than the longest lifetime", got)
	}
}

// Of two roots with the same name, only the one that signed is needed; of two that lead to
// a cross-signed issuer, neither is.
func TestNeeded(t *testing.T) {
	a, b := redistest.NewRoot(t), redistest.NewRoot(t)
	chain := a.Intermediate(t, time.Time{}, time.Time{}).Issue(t, redistest.Leaf{}).Chain
	bundle := []*x509.Certificate{b.Cert, a.Cert}
	if !Needed(a.Cert, bundle, [][]*x509.Certificate{nil, chain}) || Needed(b.Cert, bundle, [][]*x509.Certificate{chain}) {
		t.Error("the root that signed is not the one that is needed")
	}
	both := []*x509.Certificate{a.Cert, chain[1]} // the intermediate as an anchor, for Go
	if Needed(chain[1], both, [][]*x509.Certificate{chain}) {
		t.Error("an intermediate beside its root is needed")
	}
}
