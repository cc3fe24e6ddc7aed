package roots

import (
	"crypto/x509"
	"slices"
	"sync"
)

// Shared is what the agents of one process tell each other of roots: which ones their
// authorities named, which ones every server trusts, and what the clients' pairs present.
// An agent is known by the name of its client's pair; empty: that of the servers. The zero
// Shared is ready for use, and a nil one has nobody to tell.
type Shared struct {
	mu      sync.Mutex
	trusted []*x509.Certificate // by every server
	known   bool                // trusted is
	named   map[string][]*x509.Certificate
	chains  map[string][][]*x509.Certificate
	pairs   []string // that there are
	woken   map[string]chan struct{}
}

// Expect says which clients' pairs there are. What they told is forgotten.
func (s *Shared) Expect(pairs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pairs, s.chains = pairs, nil
}

// Trust tells that every server has loaded bundle.
func (s *Shared) Trust(bundle []*x509.Certificate) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trusted, s.known = bundle, true
}

// Trusts says whether every server trusts a root of bundle that the chain leads to. It is
// true as long as nobody has told which roots they trust.
func (s *Shared) Trusts(chain, bundle []*x509.Certificate) bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	both := slices.DeleteFunc(slices.Clone(bundle), func(c *x509.Certificate) bool { return !slices.ContainsFunc(s.trusted, c.Equal) })
	return !s.known || leads(chain, both)
}

// Tell tells the others which roots the authorities of who named, and wakes them where that
// is news.
func (s *Shared) Tell(who string, named []*x509.Certificate) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if Digest(s.named[who]) == Digest(named) {
		return
	}
	if s.named == nil {
		s.named = map[string][]*x509.Certificate{}
	}
	s.named[who] = named
	for other, woken := range s.woken {
		if other != who {
			select {
			case woken <- struct{}{}:
			default:
			}
		}
	}
}

// Told returns what the authorities of the others named, by who told it.
func (s *Shared) Told(who string) map[string][]*x509.Certificate {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string][]*x509.Certificate{}
	for other, named := range s.named {
		if other != who && (other == "" || slices.Contains(s.pairs, other)) {
			all[other] = named
		}
	}
	return all
}

// Woken returns what gets a signal when another than who has told something.
func (s *Shared) Woken(who string) <-chan struct{} {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.woken == nil {
		s.woken = map[string]chan struct{}{}
	}
	if s.woken[who] == nil {
		s.woken[who] = make(chan struct{}, 1)
	}
	return s.woken[who]
}

// Present tells the chains that a client's pair has on disk, each leaf first.
func (s *Shared) Present(pair string, chains [][]*x509.Certificate) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.chains == nil {
		s.chains = map[string][][]*x509.Certificate{}
	}
	s.chains[pair] = chains
}

// Presented returns the chains of all clients' pairs, and whether each has told its own.
func (s *Shared) Presented() (chains [][]*x509.Certificate, complete bool) {
	if s == nil {
		return nil, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.chains {
		chains = append(chains, c...)
	}
	return chains, !slices.ContainsFunc(s.pairs, func(pair string) bool { return s.chains[pair] == nil })
}
