package agent

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// A simCA is an authority that fails as it is told.
type simCA struct {
	resource
	s    *simulation
	url  string
	rand *rand.Rand
	key  crypto.Signer
	root *x509.Certificate
	sub  *x509.Certificate // an intermediate of the same key; nil: the root signs

	backdate time.Duration

	// Faults, under s.mu.
	down      bool          // no connection
	slow      time.Duration // how long an answer takes at least
	after     time.Duration // 503 with this Retry-After
	spoil     func(*x509.Certificate)
	badRoot   bool          // signs by a key that nobody trusts
	ahead     time.Duration // of the clock of this host
	asked     []time.Time   // the last requests
	leftAlone time.Time     // until when it is not asked, certainly
	held      time.Time     // when that began
	heldAsked bool          // and whether a person waited for it
	backAt    time.Time     // from when on it is asked again, at the latest
	gave      bool          // something of use when it was last asked
	excuses   int           // requests that the plan does not pace: a person's, those of a new process
}

func newSimCA(s *simulation, i int) *simCA {
	c := &simCA{s: s, url: fmt.Sprintf("https://ca%d", i), rand: s.stream(uint64(100 + i))}
	c.key = simKeys()[i]
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fmt.Sprintf("Root %d", i)},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(900, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	c.root = c.sign(ca, ca, c.key.Public(), c.key)
	if s.rand.IntN(4) == 0 {
		ca.SerialNumber, ca.Subject = big.NewInt(2), pkix.Name{CommonName: fmt.Sprintf("Intermediate %d", i)}
		c.sub = c.sign(ca, c.root, c.key.Public(), c.key)
	}
	if s.rand.IntN(3) == 0 {
		c.backdate = min(time.Minute, s.life/20)
	}
	return c
}

func (c *simCA) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.rand.Uint32())
	}
	return b
}

// simKeys are the keys of authorities: the same ones in each process, and such that a
// signature is verified in a tenth of the time that ECDSA takes (e = 3), since that is
// most of what a look at a pair costs.
var simKeys = sync.OnceValue(func() (keys []crypto.Signer) {
	one, two, three := big.NewInt(1), big.NewInt(2), big.NewInt(3)
	next := func(n *big.Int) *big.Int { // the next prime that fits e
		for n = new(big.Int).Add(n, two); new(big.Int).Mod(n, three).Int64() != 2 || !n.ProbablyPrime(10); {
			n.Add(n, two)
		}
		return n
	}
	p, q := new(big.Int).Lsh(one, 1024), new(big.Int).Lsh(three, 1022)
	for p.Sub(p, new(big.Int).Lsh(one, 1000)).Sub(p, one); len(keys) < 3; {
		p, q = next(p), next(q.SetBit(q, 0, 1))
		phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
		key := &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 3},
			D:         new(big.Int).ModInverse(three, phi), Primes: []*big.Int{p, q},
		}
		key.Precompute()
		keys = append(keys, key)
	}
	return keys
})

// sign gives the same signature for the same key and certificate: it takes no random
// bytes (RFC 6979; RFC 8017, section 8.2).
func (c *simCA) sign(template, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(nil, template, parent, pub, key)
	c.s.must(err)
	made, err := x509.ParseCertificate(der)
	c.s.must(err)
	return made
}

// newKey makes a key of the seed's own, since the place of a host in the jitter comes
// from its key.
func (c *simCA) newKey(t cert.KeyType) crypto.Signer {
	if t == cert.Ed25519 {
		return ed25519.NewKeyFromSeed(c.bytes(ed25519.SeedSize))
	}
	for {
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), c.bytes(32))
		if err == nil {
			return key
		}
	}
}

func (c *simCA) Issue(ctx context.Context, r ca.Request) (ca.Issued, error) {
	c.s.mu.Lock()
	c.checkPace()
	wait := c.slow + c.s.latency(c.rand)
	c.s.mu.Unlock()
	if err := sleep(ctx, wait); err != nil {
		return ca.Issued{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	refusal := &ca.Error{Op: "sign", URL: c.url}
	c.gave = c.gave && c.ahead > 0 // a certificate that begins later may be kept, or not
	switch {
	case c.down:
		refusal.Message = "connection refused"
	case c.slow > time.Minute:
		refusal.Message = "no answer in time"
	case c.after > 0:
		refusal.Status, refusal.Message, refusal.After = http.StatusServiceUnavailable, "busy", c.after
		c.hold(c.after, false)
	case c.s.renewals.faults > 0 && !r.Fresh:
		refusal.Status, refusal.Message = http.StatusUnauthorized, "no renewal for you"
	default:
		return c.issue(r), nil
	}
	return ca.Issued{}, refusal
}

// hold notes until when the agent leaves the authority alone, which said that it wants
// that, or gave a certificate of no use. It is a share of what is left of the newest
// certificate, so that it must be known; what is certain is kept beside what is possible.
func (c *simCA) hold(after time.Duration, useless bool) {
	now, least, most := time.Now(), min(after, 5*time.Minute), min(after, 24*time.Hour)
	if useless {
		least, most = 0, time.Hour
	}
	if n := c.s.newest; n != nil && now.Before(n.Leaf().NotAfter) {
		left := n.Leaf().NotAfter.Sub(now)
		if useless {
			most = min(24*time.Hour/5*6, left/2) // as every distance, lengthened by up to a fifth
		} else {
			least = min(after, 24*time.Hour, left/4)
			most = min(max(least, min(left/16, 30*time.Minute))/5*6, left/4) // the more is left, the longer
		}
	} else if n == nil { // another program was at the files: what the agent has is not known
		least = 0
		if useless {
			most = 24 * time.Hour
		}
		most = most / 5 * 6
	}
	c.leftAlone, c.backAt = now.Add(least*99/100), now.Add(most)
	c.held, c.heldAsked = now, c.s.agent.request.asked
}

func (c *simCA) issue(r ca.Request) ca.Issued {
	c.s.census.issued.Add(1)
	if c.spoil != nil || c.badRoot {
		c.hold(0, true)
	} else {
		c.gave = c.gave || c.ahead == 0
		c.s.checkNeed(c)
	}
	i := c.certificate(r.Names, r.KeyType)
	c.s.note("%s issues %s", c.url, cert.Serial(i.Chain[0]))
	return i
}

// certificate makes one, as another program can have one made too.
func (c *simCA) certificate(names []string, t cert.KeyType) ca.Issued {
	key, now := c.newKey(t), time.Now().Truncate(time.Second)
	dns, ips := cert.SplitNames(names)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0).SetBytes(c.bytes(8)), Subject: pkix.Name{CommonName: names[0]},
		DNSNames: dns, IPAddresses: ips,
		NotBefore: now.Add(c.ahead - c.backdate), NotAfter: now.Add(c.s.life + c.ahead),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if c.spoil != nil {
		c.spoil(template)
	}
	parent, chain := c.root, []*x509.Certificate{nil}
	if c.sub != nil {
		parent, chain = c.sub, append(chain, c.sub)
	}
	signer, roots := c.key, []*x509.Certificate{c.root}
	if c.badRoot {
		signer = c.newKey(cert.P256)
		unknown := *parent
		unknown.PublicKey = signer.Public()
		parent = &unknown
	}
	chain[0] = c.sign(template, parent, key.Public(), signer)
	return ca.Issued{Chain: chain, Key: key, Roots: roots, Issuer: c.url, Method: "sign"}
}
