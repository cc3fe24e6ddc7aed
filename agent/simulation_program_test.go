package agent

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// What another program does to the files. The loop gets a hint, as from inotify.

// overwrite writes in place, through whatever links, or replaces the file by a rename,
// which at a plain path breaks the link to the current pair.
func (s *simulation) overwrite(path string, text []byte) {
	if s.rand.IntN(2) == 0 {
		// The current link may be gone, or lead nowhere.
		_ = os.WriteFile(path, text, 0o600)
	} else if tmp := path + ".new"; os.WriteFile(tmp, text, 0o600) == nil {
		s.must(os.Rename(tmp, path))
	}
	s.touched()
}

// touched notes that another program has changed the files.
func (s *simulation) touched() {
	s.changes.Add(1)
	s.files.mark(0)
	s.newest, s.reasons, s.damaged = nil, s.reasons+1, true
	s.touches = append(s.touches, time.Now())
	s.forgive(true)
	s.hint()
}

// rivalled says whether another program was at the files again and again, in the last two
// lifetimes and a while.
func (s *simulation) rivalled(while time.Duration) bool {
	n := len(s.touches)
	return n > 1 && time.Since(s.touches[n-1]) < 2*s.life+while+grace
}

// unrivalled notes that nobody knows of another program any more: there is another process,
// or a person says that it has been stopped. What it did just before may be seen after that.
func (s *simulation) unrivalled() {
	s.touches = slices.DeleteFunc(s.touches, func(t time.Time) bool { return time.Since(t) > grace })
}

// damage ruins one of the files, or the way to them. The agent mends its own; what stands
// at a plain path in place of its link stays, and is told, until somebody puts it right.
func (s *simulation) damage() (mend func()) {
	good, err := s.readPair()
	current := filepath.Join(s.dir, "pair", "current")
	path := filepath.Join(current, "origin.json")
	if i := s.rand.IntN(4); i < 3 {
		path = s.paths()[i]
	}
	kind := s.rand.IntN(6)
	if kind == 2 && len(s.cas) > 1 {
		// The root of the servers' certificate may be in the lost generation alone, and
		// then they are strangers until they are restarted.
		kind = 3
	}
	s.note("another program damages %s (%d)", filepath.Base(path), kind)
	switch kind {
	case 0:
		_ = os.Remove(path)
	case 1:
		_ = os.Remove(current)
	case 2:
		s.must(os.RemoveAll(filepath.Join(s.dir, "aside")))
		if to, err := filepath.EvalSymlinks(current); err == nil {
			s.must(os.Rename(to, filepath.Join(s.dir, "aside")))
		}
	case 3:
		text, _ := os.ReadFile(path)
		s.overwrite(path, text[:len(text)/2])
	case 4:
		s.overwrite(path, []byte("nonsense\n"))
	case 5:
		_ = os.Remove(current)
		s.must(os.Symlink(filepath.Join("generations", "999999"), current))
	}
	s.touched()
	if s.opt.paths && s.last == nil { // the first start takes in what it finds, and waits until that is right
		s.files.mark(+1)
		return func() {
			s.files.mark(-1)
			if s.last == nil {
				_ = os.Remove(path)
				s.touched()
			}
		}
	}
	if !s.opt.paths || err != nil {
		return nil
	}
	s.files.mark(+1)
	return func() {
		s.files.mark(-1)
		if p, err := s.readPair(); err != nil || s.accept(p) != nil { // half a chain can be read
			s.restore(good)
		}
	}
}

// restore has another program put back a pair, or what the agent has got since: an older
// one it would refuse, until somebody says what is right.
func (s *simulation) restore(p *cert.Pair) {
	if s.last != nil && s.last.Leaf().NotBefore.After(p.Leaf().NotBefore) {
		p = s.last
	}
	key, err := p.KeyPEM()
	s.must(err)
	for i, text := range [][]byte{p.CertPEM(), key, p.CAPEM()} {
		s.overwrite(s.paths()[i], text)
	}
}

// bringing is how long another program takes at most between its two writes.
const bringing = 5 * time.Second

// bring has another program put a newer pair there, first the key and then the
// certificate. What it brings is of use, unless it is for other names: its root is among
// those that redis trusts already, where the agent has got one from that authority.
func (s *simulation) bring(names []string) (crt []byte) {
	c := s.cas[0]
	if p := s.lastRead.pair; p != nil {
		c = s.cas[max(0, slices.IndexFunc(s.cas, func(c *simCA) bool { return slices.ContainsFunc(p.CA, c.root.Equal) }))]
	}
	spoil, bad, ahead := c.spoil, c.badRoot, c.ahead
	c.spoil, c.badRoot, c.ahead = nil, false, 0
	i := c.certificate(names, s.opt.key)
	c.spoil, c.badRoot, c.ahead = spoil, bad, ahead
	crt, key := encoded(s, i)
	paths, had := s.paths(), s.last
	s.overwrite(paths[1], key)
	s.after(time.Duration(s.rand.Int64N(int64(bringing))), func() {
		s.overwrite(paths[0], crt)
		if _, err := s.readPair(); err != nil && s.last != had { // the agent replaced the key in between: somebody puts that right
			s.files.mark(+1)
			s.after(2*settleTime, func() {
				s.files.mark(-1)
				if _, err := s.readPair(); err != nil {
					s.restore(s.last)
				}
			})
		}
	})
	return crt
}

func encoded(s *simulation, i ca.Issued) (crt, key []byte) {
	p, err := cert.New(i.Chain, i.Key, []*x509.Certificate{})
	s.must(err)
	key, err = p.KeyPEM()
	s.must(err)
	return p.CertPEM(), key
}

// hide replaces the current link by a directory, which nobody can make sense of, and
// returns what puts it back.
func (s *simulation) hide() (show func()) {
	current := filepath.Join(s.dir, "pair", "current")
	to, err := os.Readlink(current)
	good, unread := s.readPair()
	if err != nil || unread != nil {
		return func() {}
	}
	s.must(os.Remove(current))
	s.must(os.Mkdir(current, 0o755))
	s.touched()
	return func() {
		// Another program may have written into it, or have removed it.
		if i, err := os.Lstat(current); err == nil && i.IsDir() {
			s.must(os.RemoveAll(current))
			s.must(os.Symlink(to, current))
		}
		s.touched()
		if p, err := s.readPair(); err != nil || s.accept(p) != nil { // what was written into it is lost
			s.restore(good)
		}
	}
}

// badPair has another program put a pair for other names there, until it puts back what
// was there, unless the agent has replaced it meanwhile.
func badPair(s *simulation) func() {
	good, err := s.readPair()
	if err != nil || s.newest == nil {
		return nil // at the very first start the agent takes in what is there, whatever it is
	}
	s.files.mark(+1)
	bad := string(s.bring([]string{"elsewhere.internal"}))
	end := func() {
		s.files.mark(-1)
		if text, err := os.ReadFile(s.certPath()); err == nil && string(text) == bad {
			s.restore(good)
		}
		for _, r := range s.redis {
			if r.serves != nil && string(r.serves.CertPEM()) == bad { // it is a stranger: somebody restarts it
				r.stop()
				r.start()
			}
		}
	}
	return func() { s.after(bringing, end) } // when both files are there
}
