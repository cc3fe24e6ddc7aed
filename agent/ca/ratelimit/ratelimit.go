// Package ratelimit counts what Let's Encrypt counts, so that a host sees how near it is
// to a limit, and does not ask for what would be refused.
//
// The limits are those of https://letsencrypt.org/docs/rate-limits as of 2025-06-12. Each
// is a bucket: so much can be taken at once, and it is given back bit by bit. What is kept
// of a bucket is one time, at which all is given back (the generic cell rate algorithm,
// as Let's Encrypt does it).
package ratelimit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Limit is how much a CA gives, of something, to somebody.
type Limit struct {
	Code string // for machines; never changes
	What string // for people, after a number
	In   string // for people: when
	Most int
	Each time.Duration // after which one is given back
}

// The limits of Let's Encrypt that one host can come near to. A renewal that names the
// certificate that it replaces (RFC 9773) counts against none of the two of orders.
var (
	Accounts   = Limit{"new_accounts", "new accounts", "in three hours", 10, 18 * time.Minute}
	Orders     = Limit{"new_orders", "new orders", "in three hours", 300, 36 * time.Second}
	Duplicates = Limit{"duplicate_certificates", "duplicate certificates", "this week", 5, 34 * time.Hour}
	Domain     = Limit{"certificates_per_domain", "certificates of a registered domain", "this week", 50, 202 * time.Minute}
	Failures   = Limit{"failed_validations", "failed validations of a name", "this hour", 5, 12 * time.Minute}
	InARow     = Limit{"failed_validations_in_a_row", "failed validations of a name in a row", "at one a day", 1152, 24 * time.Hour}
)

// all are the limits, in the order in which people see them.
var all = []Limit{Duplicates, Failures, Orders, Domain, Accounts, InARow}

// A Use is how much of a limit is taken, where that is anything.
type Use struct {
	Limit
	Of   string // the name, where the limit is about one
	Used int
	Full time.Time // when all is given back
	Next time.Time // when one can be taken again; in the past where that is so now
}

// use describes a bucket at the time now.
func (l Limit) use(of string, full time.Time, now time.Time) Use {
	taken := max(full.Sub(now), 0)
	return Use{Limit: l, Of: of, Used: min(int((taken+l.Each-1)/l.Each), l.Most), Full: full,
		Next: full.Add(-time.Duration(l.Most-1) * l.Each)}
}

// buckets are those of one CA: when each is full again, by the code of the limit and what
// it is of.
type buckets map[string]time.Time

func key(l Limit, of string) string { return strings.TrimSpace(l.Code + " " + of) }

// take takes one. A bucket never holds less than nothing: what a CA refuses it does not
// count.
func (b buckets) take(l Limit, of string, now time.Time) {
	full := b[key(l, of)]
	if full.Before(now) {
		full = now
	}
	b[key(l, of)] = earlier(full.Add(l.Each), now.Add(time.Duration(l.Most)*l.Each))
}

// free returns the first of the limits that has nothing left, nil when each has.
func (b buckets) free(now time.Time, wanted map[Limit][]string) *Use {
	for _, l := range all {
		for _, of := range wanted[l] {
			if u := l.use(of, b[key(l, of)], now); u.Next.After(now) {
				if l.Code == Duplicates.Code {
					u.Of = "" // a hash tells people nothing
				}
				return &u
			}
		}
	}
	return nil
}

// forget drops what is full at the time now, and what no bucket can be: a clock was wrong.
func (b buckets) forget(now time.Time) {
	for k, full := range b {
		code, _, _ := strings.Cut(k, " ")
		i := slices.IndexFunc(all, func(l Limit) bool { return l.Code == code })
		if i < 0 || !full.After(now) || full.After(now.Add(time.Duration(all[i].Most)*all[i].Each)) {
			delete(b, k)
		}
	}
}

// set names a set of names: "A certificate is a duplicate if it has exactly the same
// identifiers", whatever their order and case.
func set(names []string) string {
	sorted := lower(names)
	slices.Sort(sorted)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(sorted), " ")))
	return hex.EncodeToString(sum[:8])
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// String says "5 of 5 duplicate certificates this week".
func (u Use) String() string {
	return fmt.Sprintf("%d of %d %s %s", u.Used, u.Most, u.What, u.In)
}

// Nearest returns uses, that of the limit which is nearest first.
func Nearest(uses []Use) []Use {
	sorted := slices.Clone(uses)
	slices.SortStableFunc(sorted, func(a, b Use) int { return b.Used*a.Most - a.Used*b.Most })
	return sorted
}
