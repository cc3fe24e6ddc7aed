package agent

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/status"
)

// simRecord is what the checks remember.
type simRecord struct {
	lastRead struct {
		texts   [3][]byte
		pair    *cert.Pair
		changes int64
	}
	changes  atomic.Int64 // of the files, whoever made them
	damaged  bool         // another program was at the files, and they have not matched since
	accepted *cert.Pair   // by a client, but for the time
	newest   *cert.Pair   // that last reached the disk; nil when another program was at it since
	last     *cert.Pair   // that reached the disk, whoever was at it since
	adopted  bool         // and another program had made it
	touches  []time.Time  // when another program was at the files, since a person last said that it is over
	arrival  time.Time    // when it did
	arrivals []cert.Fingerprint
	unput    int       // certificates issued since
	useless  time.Time // when the last of them ends
	kept     *simCA    // gave the last of them; nil when it reached the disk, or was lost
	reasons  int       // to issue one more than the due date calls for
	came     time.Time // when its leaf did
	extra    bool      // the next one may be one of those
	ownTurn  bool      // the newest pair did not come when the one before it was due, and may be replaced early
	forced   int       // people who wait for a new certificate
	renewals resource  // whether the authorities refuse renewals, and give fresh certificates

	minute time.Time // of the last look at the disk
	looks  int       // in that minute
}

// grace is how long it may take until a server that is well shows the newest pair, and
// until a certificate that has expired is replaced: the longest distance between two
// attempts is five minutes and a fifth, and an authority that hangs may come before.
const grace = 12 * time.Minute

// patience is how long it may take until everything is well again when nothing has
// failed for that long: the longest distance between two attempts at an authority is an
// hour and a fifth, or an eighth of what is left. While renewals are refused, every
// fourth attempt counts.
func (s *simulation) patience() time.Duration {
	p := min(80*time.Minute, s.life/8+10*time.Minute)
	if s.renewals.well() < 5*p {
		p *= 5
	}
	return p
}

// localWell is how long nothing on this host but a server has failed.
func (s *simulation) localWell() time.Duration {
	return min(s.process.well(), s.files.well(), s.disk.well(), s.clock.well())
}

// askable is how long the authority is well and not left alone.
func (c *simCA) askable() time.Duration { return max(min(c.well(), time.Since(c.backAt)), 0) }

// issuerWell is how long an authority could be asked.
func (s *simulation) issuerWell() (well time.Duration) {
	for _, c := range s.cas {
		well = max(well, c.askable())
	}
	return well
}

// filesWell says whether the agent had the time and the means to put its files right.
func (s *simulation) filesWell() bool {
	return s.lastRead.pair != nil && min(s.localWell(), s.issuerWell()) > s.patience()
}

// allWell says whether everything has been well for so long.
func (s *simulation) allWell(d time.Duration) bool {
	well := s.localWell()
	for _, c := range s.cas {
		well = min(well, c.askable())
	}
	for _, r := range s.redis {
		well = min(well, r.well())
	}
	return well > d && s.renewals.well() > d
}

// nextCheck returns when something could show that does not now.
func (s *simulation) nextCheck() time.Time {
	next := time.Now().Add(s.life / 30)
	consider := func(t time.Time) {
		if t = t.Add(time.Second); t.After(time.Now()) && t.Before(next) {
			next = t
		}
	}
	for _, r := range s.redis {
		if r.serves != nil {
			consider(r.serves.Leaf().NotAfter)
		}
	}
	for _, r := range s.resources() {
		consider(r.since.Add(grace))
		consider(r.since.Add(s.patience()))
	}
	return next
}

func (s *simulation) check() {
	s.checkPair("at rest")
	disk, err := s.readPair()
	for _, r := range s.redis {
		s.checkClient(r)
		if err == nil {
			s.checkServes(r, disk)
		}
	}
	if n := s.newest; n != nil && min(s.localWell(), s.issuerWell()) > s.patience() {
		leaf := n.Leaf()
		due := s.twoThirds()
		if s.keptBack() {
			due = leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 8)
		}
		if s.adopted && s.rivalled(0) { // that program has its turn
			due = leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 10 * 9)
		}
		if time.Since(due) > s.patience() {
			s.fail("the newest pair was due at %s, nothing has failed since, and it was not renewed", due)
		}
	}
	if s.allWell(s.patience()) {
		s.checkCalm()
	}
}

// keptBack says whether the next certificate rightly waits, for a server that fails and has
// not loaded its root.
func (s *simulation) keptBack() bool {
	return s.kept != nil && slices.ContainsFunc(s.redis, func(r *simRedis) bool {
		return r.serves != nil && r.well() < grace && !slices.ContainsFunc(r.serves.CA, s.kept.root.Equal)
	})
}

// checkPair: a redis-server that starts now finds certificate and key that match, from
// the first pair on. What another program has damaged is its own affair until the agent
// had the time and the means to mend it.
func (s *simulation) checkPair(when string) {
	_, err := s.readPair()
	if err == nil {
		s.damaged = false
	} else if s.lastRead.pair != nil && (!s.damaged || s.filesWell()) {
		s.fail("%s, a redis-server could not start: %v", when, err)
	}
}

// checkCalm is for when everything has been well for long.
func (s *simulation) checkCalm() {
	s.reasons, s.unput = s.forced, 0
	for _, c := range s.cas {
		c.excuses = 0
	}
	shown := s.board.Get()
	for _, p := range shown.Problems() {
		if !s.remains(p) && !s.unseen() && time.Since(s.arrival) > grace {
			s.fail("nothing is wrong any more, but status says: %s", p.Text)
		}
	}
	// A change of the CA certificates alone makes another generation with the same leaf.
	most := 2 + s.opt.keep + len(s.redis)
	if keys, n := s.keys(), s.count("generations"); (keys > most || n > 3*most) && !s.unseen() {
		s.fail("%d generations on disk, with %d keys", n, keys)
	}
	if n := s.count("found"); n > 4*int(s.census.faults.Load()) {
		s.fail("%d files in found", n)
	}
	if n := runtime.NumGoroutine(); n > 100+20*runtime.GOMAXPROCS(0) {
		s.fail("%d goroutines", n)
	}
	if a, e, c := len(s.tally.authorities), len(s.tally.ends), len(shown.Certificates); a > len(s.cas) || e > c || c > 2+3*len(s.cas)+3*len(s.redis) {
		s.fail("the tally keeps %d authorities and %d ends, status shows %d certificates", a, e, c)
	}
}

// remains says whether a problem is rightly told although all is well. What an authority
// did not give is known until it gives something: nobody asks it before the next
// certificate is due. That another program renews the same files is told until it has left
// them alone for two lifetimes, and the agent has looked at them after that.
func (s *simulation) remains(p status.Problem) bool {
	switch p.Kind {
	case status.AuthorityFailing:
		return slices.ContainsFunc(s.cas, func(c *simCA) bool { return c.url == p.Subject && !c.gave })
	case status.AnotherRenewer:
		return s.rivalled(s.life)
	}
	return false
}

// arrived notes that a new pair is on disk.
func (s *simulation) arrived(p *cert.Pair, adopted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("%s is on disk", cert.Serial(p.Leaf()))
	if s.last == nil || !p.Leaf().Equal(s.last.Leaf()) { // else only its CA changed
		held := s.newest != nil && min(s.localWell(), s.issuerWell()) < time.Since(s.newest.Leaf().NotBefore) // it may have come late
		s.ownTurn = s.newest == nil || s.extra || held || !s.ownTurn && s.early()
		s.came, s.extra = time.Now(), false
		if !slices.Contains(s.arrivals, p.Fingerprint()) { // else one that was there before has come back
			s.kept = nil
		}
	}
	s.newest, s.last, s.adopted, s.arrival, s.unput = p, p, adopted, time.Now(), 0
	s.reasons = min(s.reasons, s.forced) // what called for another pair before has got one
	if leaf := p.Fingerprint(); !slices.Contains(s.arrivals, leaf) {
		s.arrivals = append(s.arrivals, leaf)
	}
	for _, r := range s.redis {
		r.unseen = false
		if s.stranger(r) && r.faults == 0 && r.well() < grace { // it has just missed one more: somebody restarts it
			r.stop()
			r.start()
		}
	}
	s.forgive(false)
}

// young says that the newest pair needs no replacement: its usual time has not come, or,
// where it came at another time than its predecessor's end called for, hardly any of it.
func (s *simulation) young() bool {
	if s.newest == nil {
		return false
	}
	if s.ownTurn {
		return time.Since(s.came) < s.usual().Sub(s.came)/60
	}
	return s.early()
}

func (s *simulation) early() bool { return time.Now().Before(s.usual()) }

// usual returns when the newest pair is due at the earliest, whenever the one before it was.
func (s *simulation) usual() time.Time {
	leaf := s.newest.Leaf()
	ahead := 10 * time.Minute // of an authority's clock, and so much earlier the next one is due
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore)/100*61 - ahead)
}

// twoThirds returns when two-thirds of the lifetime of the newest pair have passed.
func (s *simulation) twoThirds() time.Time {
	leaf := s.newest.Leaf()
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 3 * 2)
}

// checkNeed: a certificate is issued when one is due, and once.
func (s *simulation) checkNeed(c *simCA) {
	if s.unput++; s.unput > 1 && !time.Now().Before(s.useless) {
		s.unput-- // the one before never reached the disk, and has ended
	}
	s.useless, s.kept = time.Now().Add(s.life), c
	s.extra = s.extra || s.reasons > 0
	need := 1
	if s.young() {
		need = 0
	}
	for s.unput > need && s.reasons > 0 {
		s.reasons, s.unput = s.reasons-1, s.unput-1
	}
	if s.unput > need {
		s.fail("%s is asked for a certificate that nobody needs", c.url)
	}
}

// forgive notes that what the authorities asked for may be forgotten: there is another
// process, another newest pair, or a person. It may be kept as well in a file of failed
// attempts, and where the newest pair is the same again after another program was at it.
func (s *simulation) forgive(kept bool) {
	for _, c := range s.cas {
		c.leftAlone = time.Time{}
		if !kept {
			c.backAt = time.Time{}
		}
		c.excuses++
	}
}

// forgiven notes that a person who asked at the time began has got an answer: of what the
// authorities asked for, that alone still holds which they said to this person.
func (s *simulation) forgiven(began time.Time) {
	for _, c := range s.cas {
		if !c.heldAsked || c.held.Before(began) {
			c.leftAlone = time.Time{}
		}
	}
}

// checkPace: an authority is not asked more often than the plan promises. In an hour
// these are a dozen attempts that double their distance, then those at an eighth of what
// is left, then one in a fiftieth of the lifetime or in five minutes.
func (c *simCA) checkPace() {
	c.s.census.requests.Add(1)
	now := time.Now()
	if now.Before(c.leftAlone) && !c.s.agent.request.asked {
		c.s.fail("%s is asked, and was to be left alone until %s", c.url, c.leftAlone.UTC())
	}
	for len(c.asked) > 0 && now.Sub(c.asked[0]) > time.Hour {
		c.asked = c.asked[1:]
	}
	c.asked = append(c.asked, now)
	if len(c.asked) > 130+15*c.excuses {
		c.s.fail("%s was asked %d times in an hour", c.url, len(c.asked))
	}
}

// checkSpin: the loop rests.
func (s *simulation) checkSpin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now().Truncate(time.Minute); now != s.minute {
		s.minute, s.looks = now, 0
	}
	if s.looks++; s.looks == 1000 {
		s.fail("%d looks at the disk in a minute", s.looks)
		s.cancel()
	}
}
