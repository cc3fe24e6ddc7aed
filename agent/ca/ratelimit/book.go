package ratelimit

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"redis-cert-agent/agent/disk"
)

// maxBook bounds what is read of the file: a hundred names have fewer bytes by far.
const maxBook = 256 << 10

// A Book keeps what one host has taken of one CA, in a file, since a CA does not forget
// when a process ends. Its methods may be called from any goroutine. Those that change it
// return why that could not be kept; the book knows it all the same, until the process ends.
type Book struct {
	path, ca string

	mu     sync.Mutex
	have   buckets
	behind bool // the file could not be written: it does not have all
}

// Open returns the book of the CA of that name, which may share its file with others. A
// file that is not there or cannot be read is as good as an empty one. With an empty path
// there is none.
func Open(path, ca string) *Book { return &Book{path: path, ca: ca, have: buckets{}} }

// May returns the limit at which an order for names would be refused; nil where none is.
func (b *Book) May(now time.Time, names []string) *Use {
	bare := lower(names)
	for i := range bare {
		bare[i] = strings.TrimPrefix(bare[i], "*.") // as in an authorization (RFC 8555, section 7.1.4)
	}
	return b.free(now, map[Limit][]string{Orders: {""}, Duplicates: {set(names)}, Domain: {""}, Failures: bare, InARow: bare})
}

// MayRegister returns the limit of new accounts where it is reached.
func (b *Book) MayRegister(now time.Time) *Use {
	return b.free(now, map[Limit][]string{Accounts: {""}})
}

func (b *Book) free(now time.Time, wanted map[Limit][]string) *Use {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read(now)
	return b.have.free(now, wanted)
}

// Registered takes note of an account that was made.
func (b *Book) Registered(now time.Time) error {
	return b.change(now, func() { b.have.take(Accounts, "", now) })
}

// Ordered takes note of an order that was made, and replaces no certificate.
func (b *Book) Ordered(now time.Time) error {
	return b.change(now, func() { b.have.take(Orders, "", now) })
}

// Issued takes note of a certificate for names that replaces none. All names may be of one
// registered domain, which has a limit as well.
func (b *Book) Issued(now time.Time, names []string) error {
	return b.change(now, func() {
		b.have.take(Duplicates, set(names), now)
		b.have.take(Domain, "", now)
	})
}

// Failed takes note of names that the CA may have looked for and not have proved.
func (b *Book) Failed(now time.Time, names ...string) error {
	return b.change(now, func() {
		for _, n := range lower(names) {
			b.have.take(Failures, n, now)
			b.have.take(InARow, n, now)
		}
	})
}

// Proved takes note of names that were proved, which ends the failures in a row.
func (b *Book) Proved(now time.Time, names ...string) error {
	return b.change(now, func() {
		for _, n := range lower(names) {
			delete(b.have, key(InARow, n))
		}
	})
}

// Uses returns, for each limit of which something is taken, the bucket with the least left.
// Of certificates for a set of names those for names count.
func (b *Book) Uses(now time.Time, names []string) []Use {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read(now)
	var uses []Use
	for _, l := range all {
		most := Use{}
		for k, full := range b.have {
			code, of, _ := strings.Cut(k, " ")
			if code != l.Code || l.Code == Duplicates.Code && of != set(names) {
				continue
			}
			if u := l.use(of, full, now); u.Used > most.Used || u.Used == most.Used && u.Of < most.Of {
				most = u
			}
		}
		if most.Used > 0 {
			if l.Code == Duplicates.Code {
				most.Of = ""
			}
			uses = append(uses, most)
		}
	}
	return uses
}

// read takes over what is in the file, which the agents of clients' pairs write as well,
// and returns the books of all CAs there.
func (b *Book) read(now time.Time) map[string]buckets {
	books := map[string]buckets{}
	if b.path != "" {
		text, err := disk.Read(b.path, maxBook)
		if err != nil || json.Unmarshal(text, &books) != nil || books == nil {
			books = map[string]buckets{} // what is no book is as good as none
		}
		found := maps.Clone(books[b.ca])
		if found == nil {
			found = buckets{}
		}
		for k, full := range b.have {
			if b.behind && full.After(found[k]) {
				found[k] = full
			}
		}
		b.have = found
	}
	b.have.forget(now)
	return books
}

func (b *Book) change(now time.Time, do func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	books := b.read(now)
	before := maps.Clone(b.have)
	do()
	if b.path == "" || !b.behind && maps.Equal(before, b.have) {
		return nil
	}
	books[b.ca] = b.have
	text, err := json.Marshal(books)
	if err == nil {
		err = disk.Replace(b.path, text)
	}
	if b.behind = err != nil; err != nil {
		return fmt.Errorf("keep what %s counts: %w", b.ca, err)
	}
	return nil
}

func lower(names []string) []string {
	var all []string
	for _, n := range names {
		all = append(all, strings.ToLower(n))
	}
	return all
}
