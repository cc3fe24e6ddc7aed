package acme

import (
	"context"
	"strings"
	"time"

	"redis-cert-agent/agent/option"

	"github.com/mholt/acmez/v3/acme"
)

// A Challenge is a way to prove that names belong to this host: HTTP01,
// TLSALPN01, DNS01Update, DNS01Command or DNSPersist01.
type Challenge interface {
	// kind is the challenge's name in RFC 8555.
	kind() string
	// bound is the time that one wait of this challenge takes at most.
	bound() time.Duration
	// Faults tells what cannot work, and FileFaults looks at the files and
	// secrets that are named.
	Faults(r option.Report)
	FileFaults(r option.Report)
	// open prepares for one order for names, and fails where that order would.
	open(ctx context.Context, names []string) (proof, error)
}

const (
	kindHTTP01       = acme.ChallengeTypeHTTP01
	kindTLSALPN01    = acme.ChallengeTypeTLSALPN01
	kindDNS01        = acme.ChallengeTypeDNS01
	kindDNSPersist01 = acme.ChallengeTypeDNSPersist01
)

// A proof answers the challenges of one order.
type proof interface {
	// present puts one challenge up.
	present(ctx context.Context, c acme.Challenge) error
	// ready returns once this host itself sees the challenge.
	ready(ctx context.Context, c acme.Challenge) error
	// close takes all of them down. Its error does not change the end of the
	// order, and is only logged.
	close(ctx context.Context) error
}

// challengeName returns the name of the TXT record for a dns-01 challenge (RFC 8555,
// section 8.4), without a dot at its end.
func challengeName(name string) string {
	return "_acme-challenge." + strings.TrimSuffix(strings.TrimPrefix(name, "*."), ".")
}
