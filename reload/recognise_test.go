package reload

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"

	"redis-cert-agent/reload/redistest"
)

// What is forgiven on this host is not forgiven elsewhere.
func TestRelaxedOnThisHostOnly(t *testing.T) {
	root := redistest.NewRoot(t)
	old := root.Issue(t, redistest.Leaf{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	fresh := root.Issue(t, redistest.Leaf{})
	here, there := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6379}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 6379}
	known := Trust{Roots: redistest.NewRoot(t).Roots(), Known: old.Leaf().Equal}
	chained := Trust{Roots: root.Roots()}
	for _, c := range []struct {
		name   string
		trust  Trust
		pair   *redistest.Pair
		remote net.Addr
		want   bool
	}{
		{"verified here", chained, fresh, here, true},
		{"verified there", chained, fresh, there, true},
		{"expired here", chained, old, here, true},
		{"expired there", chained, old, there, false},
		{"known here", known, old, here, true},
		{"known there", known, old, there, false},
	} {
		relaxed, err := New(Server{Name: "localhost"}).recognise(c.trust, c.pair.Chain, c.remote)
		if (relaxed != "") != (err == nil && c.pair == old) {
			t.Errorf("%s: to warn of: %q", c.name, relaxed)
		}
		if (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && !errors.Is(err, ErrUnrecognised) {
			t.Errorf("%s: %v is not ErrUnrecognised", c.name, err)
		}
	}
}

// To x509 no roots mean the roots of the system, among which anybody's are.
func TestNoRootsAreNotTheSystems(t *testing.T) {
	root := redistest.NewRoot(t)
	pair := root.Issue(t, redistest.Leaf{})
	file := pair.Write(t, t.TempDir()).CA
	t.Setenv("SSL_CERT_FILE", file) // read once in a process, and by no other test
	if err := New(Server{Name: "localhost"}).verify(Trust{}, pair.Chain, time.Now()); err == nil {
		t.Error("a chain to a root of the system verifies")
	}
}

// By a clock of the past the certificate is simply valid; by one before its
// time it is not forgiven.
func TestTheClockIsTheCallers(t *testing.T) {
	root := redistest.NewRoot(t)
	now := time.Now()
	pair := root.Issue(t, redistest.Leaf{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})
	here := &net.TCPAddr{IP: net.IPv6loopback}
	for offset, want := range map[time.Duration]bool{-3 * time.Hour: false, -90 * time.Minute: true, 0: true} {
		trust := Trust{Roots: root.Roots(), Now: func() time.Time { return now.Add(offset) }}
		_, err := New(Server{Name: "localhost"}).recognise(trust, pair.Chain, here)
		if (err == nil) != want {
			t.Errorf("at %v: %v", offset, err)
		}
	}
}

// A certificate that expired many rotations ago recommends nobody, unless it is known.
func TestExpiredLongAgo(t *testing.T) {
	root := redistest.NewRoot(t)
	here := &net.TCPAddr{IP: net.IPv6loopback}
	for ago, want := range map[time.Duration]bool{119 * time.Minute: true, 121 * time.Minute: false, 5 * time.Hour: false} {
		end := time.Now().Add(-ago)
		old := root.Issue(t, redistest.Leaf{NotBefore: end.Add(-time.Hour), NotAfter: end})
		trust := Trust{Roots: root.Roots()}
		if _, err := New(Server{Name: "localhost"}).recognise(trust, old.Chain, here); (err == nil) != want {
			t.Errorf("expired for %v: %v", ago, err)
		}
		trust.Known = old.Leaf().Equal
		if _, err := New(Server{Name: "localhost"}).recognise(trust, old.Chain, here); err != nil {
			t.Errorf("expired for %v and known: %v", ago, err)
		}
	}
}

func TestOnThisHost(t *testing.T) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		if ip := a.(*net.IPNet).IP; !onThisHost(&net.TCPAddr{IP: ip}) {
			t.Errorf("%v is an address of this host", ip)
		}
	}
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "0.0.0.0"} {
		if onThisHost(&net.TCPAddr{IP: net.ParseIP(ip)}) {
			t.Errorf("%v is no address of this host", ip)
		}
	}
}

// Whatever a peer says, an error is one line, and quotes no arguments.
func FuzzAnswer(f *testing.F) {
	f.Add("ERR unknown command 'AUTH', with args beginning with: 'user' 'secret' ", "redis_version:7.0.15\r\n")
	f.Add("NOPERM \x1b[31m\r\nsecond line", "redis_version:\nredis_version:1")
	f.Fuzz(func(t *testing.T, words, info string) {
		text := New(Server{}).answerFault("auth", words).Error() + redisVersion(info)
		if strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("control characters in %q", text)
		}
		if before, secret, cut := strings.Cut(words, ", with args beginning with"); cut && len(secret) > 20 &&
			!strings.Contains(before, secret) && strings.Contains(text, secret) {
			t.Errorf("arguments in %q", text)
		}
	})
}

// Nothing speaks for who shows a certificate that is distrusted: a chain that verifies,
// that it was on disk once, insecure_skip_verify.
func TestDistrustedIsRecognisedByNothing(t *testing.T) {
	root := redistest.NewRoot(t)
	pair := root.Issue(t, redistest.Leaf{})
	here := &net.TCPAddr{IP: net.IPv6loopback}
	trust := Trust{Roots: root.Roots(), Known: pair.Leaf().Equal}
	for _, skip := range []bool{false, true} {
		r := New(Server{Name: "localhost", InsecureSkipVerify: skip})
		if _, err := r.recognise(trust, pair.Chain, here); err != nil {
			t.Errorf("skip %v: %v", skip, err)
		}
		trust.Distrusted = pair.Leaf().Equal
		if _, err := r.recognise(trust, pair.Chain, here); !errors.Is(err, ErrDistrusted) || !errors.Is(err, ErrUnrecognised) {
			t.Errorf("skip %v: %v", skip, err)
		}
		trust.Distrusted = nil
	}
}
