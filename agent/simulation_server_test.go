package agent

import (
	"crypto/x509"
	"slices"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/status"
)

// checkClient: who trusts the authorities is not refused, if that could be helped.
func (s *simulation) checkClient(r *simRedis) {
	limit := grace * (s.patience() / min(80*time.Minute, s.life/8+10*time.Minute))
	if min(s.localWell(), s.issuerWell(), r.well()) < limit || r.serves == nil {
		return
	}
	if err := s.accept(r.serves); err != nil {
		s.fail("a client of %s is refused: %v", r.name, err)
	}
	if r.broken() {
		s.fail("no client of %s can shake hands", r.name)
	}
}

// accept verifies as a client does that trusts the authorities.
func (s *simulation) accept(p *cert.Pair) error {
	if err := cert.ValidAt(p.Chain, time.Now()); err != nil {
		return err
	}
	if p == s.accepted {
		return nil
	}
	var roots []*x509.Certificate
	for _, c := range s.cas {
		roots = append(roots, c.root)
	}
	err := cert.Need{Names: []string{"redis.internal", "127.0.0.1"}, Roots: roots}.Check(p, time.Now())
	if err == nil {
		s.accepted = p
	}
	return err
}

// keys counts the leaves of the pairs on disk.
func (s *simulation) keys() int {
	state, err := s.store.Store.Load()
	s.must(err)
	leaves := map[cert.Fingerprint]bool{}
	for _, g := range state.All {
		leaves[g.Leaf] = true
	}
	return len(leaves)
}

// stranger says that a server shows a certificate that the agent need not know any more:
// the last four are known, whatever they are for.
func (s *simulation) stranger(r *simRedis) bool {
	return r.serves != nil && !slices.Contains(s.arrivals[max(0, len(s.arrivals)-4):], r.fingerprint())
}

// checkServes: a server that is well shows what is on disk.
func (s *simulation) checkServes(r *simRedis, disk *cert.Pair) {
	if s.newest == nil || min(s.localWell(), r.well(), time.Since(s.arrival)) < grace {
		return
	}
	if r.unseen && r.serves != nil && time.Until(r.serves.Leaf().NotAfter) > 0 {
		return // it is tried again shortly before that ends
	}
	if r.serves == nil || !r.serves.Leaf().Equal(disk.Leaf()) {
		s.fail("%s has been well and does not show what is on disk", r.name)
	}
}

// checkTakenBack: at the end of a round, a server that cannot use the newest pair has the
// one before in memory again, and where no server can use it, a restart does not load it.
func (s *simulation) checkTakenBack() {
	disk, err := s.readPair()
	if err != nil || s.newest == nil || s.localWell() < grace {
		return
	}
	judged, shown := false, false
	for _, r := range s.redis {
		if r.spoilt && r.broken() && r.faults == 1 && s.onDisk(r.usable) {
			s.fail("%s was made to load a pair that it cannot use, and it was not taken back", r.name)
		}
		judged = judged || r.judged == disk.Fingerprint()
		shown = shown || r.fingerprint() == disk.Fingerprint()
	}
	if judged && !shown && s.former(disk) {
		s.fail("no server can use %s, and a restart would load it", cert.Serial(disk.Leaf()))
	}
}

// former says whether a pair is on disk that a server shows instead of p.
func (s *simulation) former(p *cert.Pair) bool {
	return slices.ContainsFunc(s.redis, func(r *simRedis) bool { return r.fingerprint() != p.Fingerprint() && s.onDisk(r.fingerprint()) })
}

// onDisk says whether the pair of a leaf is there to go back to: another program may have
// written over it.
func (s *simulation) onDisk(leaf cert.Fingerprint) bool {
	state, err := s.store.Store.Load()
	s.must(err)
	return slices.ContainsFunc(state.All, func(g *pair.Generation) bool { return g.Sound() && g.Leaf == leaf })
}

// checkTold: what `status` says after a look of its own. While a server is of no use to its
// clients, before that look and after it, it does not say that all is well.
func (s *simulation) checkTold(before, after []bool, problems []status.Problem) {
	for i, r := range s.redis {
		if before[i] && after[i] && len(problems) == 0 {
			s.fail("no client of %s is served, and status says that all is well", r.name)
		}
	}
	for _, p := range problems {
		if p.Kind == status.AnotherRenewer && !s.rivalled(0) {
			s.fail("no other program has been at the files for two lifetimes, and status says: %s", p.Text)
		}
	}
}

// ofNoUse says of each server whether its clients are refused, or it does not run.
func (s *simulation) ofNoUse() []bool {
	var all []bool
	for _, r := range s.redis {
		all = append(all, r.serves == nil || r.broken() || s.accept(r.serves) != nil)
	}
	return all
}
