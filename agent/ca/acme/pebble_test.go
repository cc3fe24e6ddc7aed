package acme

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/wfe"

	"redis-cert-agent/agent/ca/acme/acmetest"
)

// shape says how a Pebble differs from the plain one.
type shape = acmetest.Shape

// pebble is a Pebble, and what a client of it needs.
type pebble struct{ *acmetest.Pebble }

func startPebble(t testing.TB, s shape) *pebble {
	t.Helper()
	return &pebble{acmetest.StartPebble(t, s)}
}

// options are those of a client that is to succeed by http-01.
func (p *pebble) options(t testing.TB) Options {
	return Options{
		URL: p.URL + wfe.DirectoryPath, Roots: p.Roots, TermsAccepted: true,
		AccountKeyFile: filepath.Join(t.TempDir(), "account.key"),
		Challenge:      HTTP01{Listen: p.Listen(p.HTTPPort)},
		Timeout:        time.Minute,
		Warn:           func(msg string) { t.Log("warn: " + msg) },
	}
}
