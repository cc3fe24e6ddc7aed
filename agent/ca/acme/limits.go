package acme

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/ratelimit"
)

// Limits returns how much of the limits of Let's Encrypt this host has taken, where that is
// the CA, for a certificate with names.
func (c *Client) Limits(now time.Time, names []string) []ratelimit.Use {
	if c.bad != nil {
		return nil
	}
	return c.book.Uses(now, names)
}

// limited reports whether the CA is Let's Encrypt, whose limits are known: it names itself
// as in CAA records. Its staging environment has others, which nobody reaches.
func (s *session) limited() bool {
	return slices.Contains(s.meta().CAAIdentities, "letsencrypt.org") && !strings.Contains(s.c.base.Host, "staging")
}

// mayOrder returns the error of an order for names that the CA would refuse, since it has
// given this host all that it gives for now. A refusal of its own would say less, and
// another client of the account would go without.
func (s *session) mayOrder(names []string) error {
	if !s.limited() {
		return nil
	}
	return s.reached(opOrder, s.c.book.May(time.Now(), names))
}

// mayRegister returns the same of a new account.
func (s *session) mayRegister() error {
	if !s.limited() {
		return nil
	}
	return s.reached(opAccount, s.c.book.MayRegister(time.Now()))
}

func (s *session) reached(op string, limit *ratelimit.Use) error {
	if limit == nil {
		return nil
	}
	of := ""
	if limit.Of != "" {
		of = " for " + ca.Clean(limit.Of, ca.MaxMessage)
	}
	s.held = true
	return &ca.Error{Op: op, URL: s.at.URL, Earlier: s.c.met, Type: kind(acme.ProblemTypeRateLimited), After: time.Until(limit.Next),
		Message: fmt.Sprintf("it was not asked, since it would refuse: this host has taken %s%s", limit, of),
		Hint:    "mend what used them up; the agent asks again when one is given back, at " + limit.Next.UTC().Format("2006-01-02 15:04 UTC")}
}

// count keeps what counts against a limit of the CA. An order goes on where that fails.
func (s *session) count(keep func(*ratelimit.Book, time.Time) error) {
	if !s.limited() {
		return
	}
	if err := keep(s.c.book, time.Now()); err != nil {
		s.c.opts.Warn(err.Error())
	}
}

// looked counts names that the CA was asked to look for, as far as it has not proved them.
func (s *session) looked(tasks []task) {
	var failed, proved []string
	for _, t := range tasks {
		if t.authz.Status == acme.StatusValid {
			proved = append(proved, t.authz.Identifier.Value)
		} else {
			failed = append(failed, t.authz.Identifier.Value)
		}
	}
	s.count(func(b *ratelimit.Book, now time.Time) error { return b.Failed(now, failed...) })
	s.count(func(b *ratelimit.Book, now time.Time) error { return b.Proved(now, proved...) })
}

// ordered counts an order that replaces no certificate. "Renewals coordinated by ARI are
// exempt from all rate limits", as Let's Encrypt says.
func (s *session) ordered(replaces string) {
	s.exempt = replaces != ""
	if !s.exempt {
		s.count((*ratelimit.Book).Ordered)
	}
}

// issued counts a certificate for the names of an order, also one that this host may never
// see.
func (s *session) issued(order acme.Order) {
	if s.exempt {
		return
	}
	var names []string
	for _, id := range order.Identifiers {
		names = append(names, id.Value)
	}
	s.count(func(b *ratelimit.Book, now time.Time) error { return b.Issued(now, names) })
}
