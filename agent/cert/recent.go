package cert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"sync"
	"time"
)

// An accepted is a question that every client answers with yes, and until when.
type accepted struct {
	asked       [sha256.Size]byte
	from, until time.Time
	paths       [][]int // of the verdict, OpenSSL's first, as places among the certificates of the question
}

// recent are the latest of them. A renewal asks the same at each look at the disk and of
// each server, and each answer costs the verification of several signatures.
var recent struct {
	sync.Mutex
	list [8]accepted
	next int
}

// recall returns the verdict on q, which digest identifies, when it was yes at an earlier
// time and nothing has begun or ended since.
func recall(q Question, digest [sha256.Size]byte) (Verdict, bool) {
	recent.Lock()
	defer recent.Unlock()
	for _, a := range recent.list {
		if a.asked != digest || q.Time.Before(a.from) || !q.Time.Before(a.until) {
			continue
		}
		certs := q.certificates()
		paths := make([][]*x509.Certificate, len(a.paths))
		for n, path := range a.paths {
			for _, i := range path {
				paths[n] = append(paths[n], certs[i])
			}
		}
		return Verdict{Path: paths[0], GoPaths: paths[1:]}, true
	}
	return Verdict{}, false
}

// remember keeps v when every client accepts.
func remember(q Question, digest [sha256.Size]byte, v Verdict) {
	if v.Go != nil || len(v.Findings) > 0 {
		return
	}
	a := accepted{asked: digest, from: q.Time}
	certs := q.certificates()
	for _, path := range append([][]*x509.Certificate{v.Path}, v.GoPaths...) {
		var places []int
		for _, c := range path {
			i := slices.Index(certs, c)
			if i < 0 {
				return
			}
			places = append(places, i)
		}
		a.paths = append(a.paths, places)
	}
	for _, c := range certs {
		for _, turn := range []time.Time{c.NotBefore, c.NotAfter.Add(1)} { // the end itself is within
			if turn.After(q.Time) && (a.until.IsZero() || turn.Before(a.until)) {
				a.until = turn
			}
		}
	}
	recent.Lock()
	defer recent.Unlock()
	recent.list[recent.next] = a
	recent.next = (recent.next + 1) % len(recent.list)
}

// certificates returns all certificates of q.
func (q Question) certificates() []*x509.Certificate {
	return slices.Concat([]*x509.Certificate{q.Leaf}, q.Sent, q.Roots)
}

// digest identifies what is asked, but for the time, where System is nil.
func (q Question) digest() [sha256.Size]byte {
	h := sha256.New()
	number := func(n int) { h.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	text := func(b []byte) { number(len(b)); h.Write(b) }
	text(q.Leaf.Raw)
	for _, list := range [][]*x509.Certificate{q.Sent, q.Roots} {
		number(len(list))
		for _, c := range list {
			text(c.Raw)
		}
	}
	if q.Roots == nil {
		number(-1)
	}
	number(len(q.Names))
	for _, name := range q.Names {
		text([]byte(name))
	}
	for _, use := range q.Uses {
		number(int(use))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
