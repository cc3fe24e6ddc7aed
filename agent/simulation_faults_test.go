package agent

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
)

// simFaults is what can happen. Begin makes it happen, and returns what ends it; nil when
// it is over at once.
var simFaults = []struct {
	name  string
	begin func(*simulation) (end func())
}{
	{"an authority is down", ofCA(func(c *simCA) { c.down = true }, func(c *simCA) { c.down = false })},
	{"all authorities are down", allDown},
	{"no authority is there until the end", func(s *simulation) func() {
		if s.newest == nil || s.life > 7*24*time.Hour && s.rand.IntN(4) > 0 {
			return nil // a month of hourly attempts: now and then
		}
		left := max(time.Until(s.newest.Leaf().NotAfter), 0)
		s.after(left+between(s.rand, time.Second, min(s.life, 12*time.Hour)), allDown(s))
		return nil
	}},
	{"an authority is slow", ofCA(func(c *simCA) { c.slow = between(c.s.rand, time.Second, time.Minute) }, func(c *simCA) { c.slow = 0 })},
	{"an authority hangs", ofCA(func(c *simCA) { c.slow = 90 * time.Second }, func(c *simCA) { c.slow = 0 })},
	{"an authority says Retry-After", ofCA(sayAfter, func(c *simCA) { c.after = 0 })},
	{"all authorities say Retry-After", ofCAs(sayAfter, func(c *simCA) { c.after = 0 })},
	{"the authorities refuse renewals", func(s *simulation) func() {
		s.renewals.mark(+1)
		return func() { s.renewals.mark(-1) }
	}},
	{"an authority forgets names", spoiled(func(c *x509.Certificate) { c.DNSNames = nil })},
	{"an authority forgets serverAuth", spoiled(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] })},
	{"an authority gives what has expired", spoiled(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.Add(-time.Hour), c.NotBefore.Add(-time.Minute)
	})},
	{"an authority signs by another root", ofCA(func(c *simCA) { c.badRoot = true }, func(c *simCA) { c.badRoot = false })},
	{"an authority's clock is ahead", ofCA(func(c *simCA) { c.ahead = c.backdate + between(c.s.rand, time.Second, 10*time.Minute) }, func(c *simCA) { c.ahead = 0 })},

	{"a server restarts", ofServer(func(r *simRedis) { r.stop() }, func(*simRedis) {})},
	{"a server is down", ofServer(func(r *simRedis) { r.down = true; r.stop() }, func(r *simRedis) { r.down = false })},
	{"a server hangs", ofServer(func(r *simRedis) { r.frozen = true }, func(r *simRedis) { r.frozen = false })},
	{"a server hangs while the pair is replaced", hangsThrough},
	{"a server denies", says(reload.ErrDenied)},
	{"a server refuses", says(reload.ErrRefused)},
	{"a server is busy", says(reload.ErrBusy)},
	{"a server says OK and loads nothing", ofServer(func(r *simRedis) { r.lies = true }, func(r *simRedis) { r.lies = false })},
	{"a server breaks off before it answers", ofServer(func(r *simRedis) { r.vague = true }, func(r *simRedis) { r.vague = false })},
	{"a server sends garbage", ofServer(func(r *simRedis) { r.panics = true }, func(r *simRedis) { r.panics = false })},
	{"a server cannot use another pair", cannotUse},

	{"the disk is full", ofDisk(func(d *diskState) *bool { return &d.full })},
	{"the disk takes nothing", ofDisk(func(d *diskState) *bool { return &d.sick })},
	{"the disk gives nothing", ofDisk(func(d *diskState) *bool { return &d.unread })},
	{"the current link is a directory", func(s *simulation) func() {
		show := s.hide()
		s.files.mark(+1)
		return func() { s.files.mark(-1); show() }
	}},
	{"a file is damaged", (*simulation).damage},
	{"another program brings a pair", func(s *simulation) func() { s.bring(s.opt.names); return nil }},
	{"another program brings a bad pair", badPair},

	{"the clock is not believed", func(s *simulation) func() {
		s.clock.mark(+1)
		return func() { s.clock.mark(-1) }
	}},

	{"a person asks", func(s *simulation) func() { s.ask(false); return nil }},
	{"a person asks for a certificate", func(s *simulation) func() { s.ask(true); return nil }},
	{"the agent restarts", func(s *simulation) func() {
		s.restart()
		return nil
	}},
	{"the agent does not run", func(s *simulation) func() {
		if s.process.faults > 0 {
			return nil
		}
		s.stopAgent()
		s.process.mark(+1)
		s.reasons++
		return func() { s.process.mark(-1); s.startAgent(false) }
	}},
	{"the agent is killed in a step", func(s *simulation) func() {
		if s.process.faults > 0 {
			return nil
		}
		s.killIn = 1 + s.rand.IntN(12)
		if s.rand.IntN(2) == 0 {
			s.ask(true)
		}
		return func() { s.killIn = 0 }
	}},
	{"the configuration has other names", func(s *simulation) func() { otherNames(s); return nil }},
	{"the configuration has another key type", func(s *simulation) func() {
		if s.opt.key == cert.P256 {
			s.opt.key = cert.Ed25519
		} else {
			s.opt.key = cert.P256
		}
		s.reconfigure()
		return nil
	}},
}

var allDown = ofCAs(func(c *simCA) { c.down = true }, func(c *simCA) { c.down = false })

func sayAfter(c *simCA) { c.after = between(c.s.rand, min(c.s.life/50, time.Hour), 24*time.Hour) }

// ofCA is a fault of one of the authorities.
func ofCA(begin, end func(*simCA)) func(*simulation) func() {
	return func(s *simulation) func() {
		c := pick(s.rand, s.cas...)
		c.mark(+1)
		begin(c)
		s.note("    it is %s", c.url)
		return func() { c.mark(-1); end(c) }
	}
}

// ofCAs is a fault of all authorities.
func ofCAs(begin, end func(*simCA)) func(*simulation) func() {
	return func(s *simulation) func() {
		for _, c := range s.cas {
			c.mark(+1)
			begin(c)
		}
		return func() {
			for _, c := range s.cas {
				c.mark(-1)
				end(c)
			}
		}
	}
}

func spoiled(spoil func(*x509.Certificate)) func(*simulation) func() {
	return ofCA(func(c *simCA) { c.spoil = spoil }, func(c *simCA) { c.spoil = nil })
}

// ofServer is a fault of one of the servers. At its end it is started if it does not run.
func ofServer(begin, end func(*simRedis)) func(*simulation) func() {
	return func(s *simulation) func() {
		r := pick(s.rand, s.redis...)
		r.mark(+1)
		begin(r)
		s.note("    it is %s", r.name)
		return func() {
			r.mark(-1)
			end(r)
			if s.stranger(r) { // somebody restarts it
				r.stop()
			}
			if r.serves == nil && r.faults == 0 {
				r.start()
			}
		}
	}
}

// hangsThrough is a server that hangs while other pairs come, some for other names.
func hangsThrough(s *simulation) func() {
	thaw := ofServer(func(r *simRedis) { r.frozen = true }, func(r *simRedis) { r.frozen = false })(s)
	replace := func() { s.ask(true) }
	var at time.Duration
	for range 2 + s.rand.IntN(3) {
		at += between(s.rand, time.Minute, min(time.Hour, s.life/10))
		s.after(at, replace)
		replace = func() { otherNames(s) }
	}
	s.after(at+between(s.rand, time.Minute, time.Hour), thaw)
	return nil
}

func otherNames(s *simulation) {
	names := []string{"redis.internal", "127.0.0.1"}
	if len(s.opt.names) == len(names) {
		names = append(names, "other.internal")
	}
	s.opt.names = names
	s.reconfigure()
}

// cannotUse is a server that can use no other pair than the one it has, until it is set
// otherwise. Then a person asks, or it was away and that was seen, or it is restarted so
// fast that nobody can know.
func cannotUse(s *simulation) func() {
	foreseen := s.rand.IntN(2) == 0
	return ofServer(func(r *simRedis) { r.brittle, r.usable, r.foreseen = true, r.fingerprint(), foreseen }, func(r *simRedis) {
		r.brittle = false
		switch s.rand.IntN(3) {
		case 0:
			s.ask(false)
		case 1:
			r.unseen = true
			r.stop()
		case 2:
			r.stop()
			r.mark(+1)
			s.after(6*time.Minute, func() { r.mark(-1); r.start() })
		}
	})(s)
}

func says(err error) func(*simulation) func() {
	return ofServer(func(r *simRedis) { r.says = err }, func(r *simRedis) { r.says = nil })
}

func ofDisk(state func(*diskState) *bool) func(*simulation) func() {
	return func(s *simulation) func() {
		s.disk.mark(+1)
		*state(&s.disk) = true
		return func() { s.disk.mark(-1); *state(&s.disk) = false }
	}
}

// incident draws what is to happen.
func (s *simulation) incident() {
	s.note("--- incident")
	for range 1 + s.rand.IntN(4) {
		f := pick(s.rand, simFaults...)
		for !s.only.MatchString(f.name) {
			f = pick(s.rand, simFaults...)
		}
		at, lasts := s.when(), s.howLong()
		if s.rand.IntN(3) == 0 { // it is there when the renewal is due
			due := s.due()
			at = max(due-between(s.rand, time.Second, min(s.life/20, time.Hour)), 0)
			lasts += due - at
		}
		s.after(at, func() {
			s.note("%s", f.name)
			s.census.fault(f.name, 1)
			end := f.begin(s)
			if end == nil {
				return
			}
			s.after(lasts, func() {
				s.note("over: %s", f.name)
				end()
			})
			s.after(time.Duration(s.rand.Int64N(int64(lasts))), s.status)
		})
	}
	if s.rand.IntN(2) == 0 {
		s.after(s.when(), func() { s.ask(true) })
	}
}

// howLong draws how long a fault lasts: mostly for seconds to hours, sometimes beyond the
// end of the certificate. An attempt at a server comes every few minutes as long as one
// fails, so that weeks of that would cost more time than they show.
func (s *simulation) howLong() time.Duration {
	if s.rand.IntN(6) == 0 {
		return between(s.rand, min(s.life/100, 12*time.Hour), min(s.life/10*13, 36*time.Hour))
	}
	return between(s.rand, time.Second, min(s.life, 3*time.Hour))
}

// when draws how long it takes until something happens: often it is about the time when
// a renewal is due.
func (s *simulation) when() time.Duration {
	if s.newest == nil || s.rand.IntN(3) == 0 {
		return time.Duration(s.rand.Int64N(int64(s.life)))
	}
	off := between(s.rand, time.Second, s.life/4)
	if s.rand.IntN(2) == 0 {
		off = -off
	}
	return max(s.due()+off, time.Duration(s.rand.Int64N(int64(time.Minute))))
}

// due returns how long it takes until the agent means to renew: only what is drawn goes by
// that, no check.
func (s *simulation) due() time.Duration { return max(time.Until(s.board.Get().Due), 0) }

// generations counts what is in the directory.
func (s *simulation) count(dir string) int {
	entries, err := os.ReadDir(filepath.Join(s.dir, "pair", dir))
	if err != nil && !os.IsNotExist(err) {
		s.fail("%v", err)
	}
	return len(entries)
}
