// Package plan decides what happens next, and when to look again.
//
// It is pure: facts and a time go in, one step comes out. Nothing is
// remembered between two calls, so there is no phase that a crash could lose
// and no clock that a suspend could stop. A due date, a file event, a signal
// and a start after a crash all ask the same question here.
package plan

import (
	"fmt"
	"slices"
	"time"
)

// Facts is what the agent sees at one instant: on disk, at the servers, and in
// its memory of failures.
type Facts struct {
	Clock   error     // why the wall clock cannot be believed; nil when it can
	Recheck time.Time // when to look at the clock again; zero when a clock step will tell

	Newest  *Certificate // the newest complete pair on disk; nil when there is none
	Current bool         // whether servers that start now load Newest
	Foreign bool         // whether a good pair that another program put there waits to be taken in
	Adopt   Attempts     // failed attempts to take it in

	Servers []Server
	Switch  Attempts  // failures to make the newest pair current where there is no server
	Seen    bool      // Servers are as handshakes in this round showed them
	Issue   Attempts  // failed attempts to get a certificate since the last success
	Hold    time.Time // until when no authority is to be asked, as each one's Attempts.Hold says; zero when one may be
	Asked   bool      // a person asked for a new certificate
	Unsaved bool      // one was issued that the disk did not take

	Suggest time.Time // when to ask the authority for its renewal window; zero means never

	Bundle   bool      // other CA certificates are to stand beside Newest
	Bundling Attempts  // failures to put them there
	Waits    time.Time // until when a new certificate is kept back until all servers trust its root; zero: it is not

	External bool      // another program renews Newest: nothing is issued
	Settle   time.Time // until when that program may not have finished with its files; zero: it has
}

// A Certificate is what the plan needs to know of a certificate chain on disk.
type Certificate struct {
	ID     string    // the leaf's fingerprint, hex
	Chain  []Window  // leaf first
	Since  time.Time // when the pair was issued or taken in; zero when unknown
	Unfit  string    // why it does not satisfy the configuration any more; empty when it does
	Spread float64   // in [0,1), the same for the same key: where in the jitter this host lies

	// First says that the host had no certificate before it. Otherwise Replaced is when
	// the one before it was due; zero when nobody knows.
	First    bool
	Replaced time.Time

	// Late says that another program renews it as well, and has until nine-tenths of the
	// lifetime instead of two-thirds.
	Late bool

	// Distrusted says that its key may be in other hands: it is replaced at once.
	Distrusted bool

	// Window is when the authority wants the certificate renewed (RFC 9773);
	// zero when it has not said.
	Window Window
	// Recalled says that the authority moved the window into the past: it is about to
	// revoke the certificate, which is replaced at once, however new it is.
	Recalled bool

	hash uint64 // of ID; zero: not computed yet
}

// A Window is a time from and to: the validity of a certificate, or when to
// renew it.
type Window struct{ From, To time.Time }

// A Server is one redis-server as its last handshake showed it.
type Server struct {
	Served  string   // the ID of the leaf that it shows; empty when it was not reached
	Failed  Attempts // failed attempts to load the newest pair, or to reach the server
	Held    bool     // it is not to load the newest pair until something changes
	Passive bool     // it loads its files only when it starts
}

// Attempts counts failures since the last success.
type Attempts struct {
	Failed int       `json:"failed"` // how many in a row
	Last   time.Time `json:"last"`   // when the last of them ended

	// Of an authority.
	After   time.Duration `json:"after,omitempty"`   // what it asked to wait (Retry-After); zero when it did not
	Refused int           `json:"refused,omitempty"` // how many in a row it answered with a certificate of no use
	Slow    bool          `json:"slow,omitempty"`    // it counts them, or the clocks differ: the next one can wait longer
	Since   time.Time     `json:"since,omitzero"`    // when the first of them ended, if it gave no answer
	Away    bool          `json:"away,omitempty"`    // it gave no answer to the last one
	Back    time.Time     `json:"back,omitzero"`     // when it was seen to answer again after that
}

// An Action is what the agent does next.
type Action int

// The actions, in the order in which they are preferred.
const (
	Wait   Action = iota // nothing until Step.At or a hint
	Adopt                // take in the pair that another program put there
	Ask                  // ask the authority when it wants the newest pair renewed
	Issue                // get a new certificate
	Look                 // see what the servers show
	Load                 // make servers load the newest pair, and prove it
	Bundle               // put other CA certificates beside the newest pair
)

func (a Action) String() string {
	switch a {
	case Adopt:
		return "adopt"
	case Ask:
		return "ask"
	case Issue:
		return "issue"
	case Look:
		return "look"
	case Load:
		return "load"
	case Bundle:
		return "bundle"
	}
	return "wait"
}

// A Step is what to do now, or what to wait for.
type Step struct {
	Do      Action
	Why     string    // for people: the reason for Do, or what is waited for
	At      time.Time // Wait: when to look again; zero means that only a hint can change anything
	Due     time.Time // when the newest pair is due for renewal; zero without a pair
	Wanted  bool      // a new certificate is wanted now, also while it cannot be asked for
	Fresh   bool      // Issue: the names or the key type changed, so that a renewal of the old certificate will not do
	Servers []int     // Load: the indexes of the servers to load
}

// Next returns the step to take at the time now.
func Next(now time.Time, f Facts, p Policy) Step {
	s := next(now, f, p)
	if s.Do == Wait && !f.Seen && len(f.Servers) > 0 {
		s.Do = Look // what the servers show may call for a load
	}
	return s
}

func next(now time.Time, f Facts, p Policy) Step {
	if f.External {
		return external(now, f)
	}
	var again time.Time // when to look again for another reason than the certificate's
	if f.Foreign {
		again = f.Adopt.retry(now, f.Newest, loading)
		if !now.Before(again) {
			return Step{Do: Adopt, Why: "another program put a newer pair there"}
		}
		if f.Newest == nil { // the first look must not lose what it found
			return Step{Why: "next attempt to take in the pair found on disk", At: again}
		}
	}
	s := issue(now, f, p)
	if b := bundle(now, f, &again); b != nil {
		b.Due, b.Wanted = s.Due, s.Wanted
		return *b
	}
	if s.Do == Issue {
		return s
	}
	if !f.Suggest.IsZero() && f.Newest != nil && f.Clock == nil {
		if !now.Before(f.Suggest) {
			return Step{Do: Ask, Why: "the authority's renewal window is to be read again", Due: s.Due, Wanted: s.Wanted}
		}
		again = sooner(again, f.Suggest)
	}
	if l := load(now, f); l.Do == Load || earlier(l.At, s.At) {
		l.Due, l.Wanted = s.Due, s.Wanted
		s = l
	}
	if s.Do == Wait {
		s.At = sooner(again, s.At)
	}
	return s
}

// issue says whether a new certificate is wanted now, and else when.
func issue(now time.Time, f Facts, p Policy) Step {
	var s Step
	switch {
	case f.Newest == nil:
		s = Step{Do: Issue, Why: "there is no certificate yet", Fresh: true}
	case f.Asked:
		s = Step{Do: Issue, Why: "asked for", Fresh: f.Newest.Unfit != "", Due: Due(*f.Newest, p)}
	case f.Unsaved:
		s = Step{Do: Issue, Why: "the disk did not take the last one", Due: Due(*f.Newest, p)}
	case f.Newest.Distrusted:
		s = Step{Do: Issue, Why: "its key was given up", Fresh: f.Newest.Unfit != "", Due: Due(*f.Newest, p)}
	case f.Newest.Unfit != "":
		s = Step{Do: Issue, Why: f.Newest.Unfit, Fresh: true, Due: Due(*f.Newest, p)}
	default:
		due := Due(*f.Newest, p)
		if now.Before(due) {
			why := "two-thirds of the lifetime"
			switch {
			case f.Newest.suggested():
				why = "the authority's window"
			case due.Before(f.Newest.latest(p)):
				why = "this host's turn"
			}
			return Step{Why: why, At: due, Due: due}
		}
		s = Step{Do: Issue, Why: reason(now, *f.Newest, p), Due: due}
	}
	s.Wanted = true
	if f.Clock != nil {
		return Step{Why: fmt.Sprintf("the clock: %v", f.Clock), At: f.Recheck, Due: s.Due, Wanted: true}
	}
	if at := later(f.Issue.retry(now, f.Newest, asking(f.Newest)), f.Hold); now.Before(at) && !f.Asked {
		return Step{Why: fmt.Sprintf("next attempt at a certificate (%s)", s.Why), At: at, Due: s.Due, Wanted: true}
	}
	return s
}

func reason(now time.Time, p Certificate, policy Policy) string {
	if end := p.end(); !now.Before(end) {
		return fmt.Sprintf("the certificate on disk expired at %s", end.UTC().Format(time.RFC3339))
	}
	if p.suggested() {
		return "the authority wants it renewed"
	}
	if now.Before(p.latest(policy)) {
		return "it is this host's turn"
	}
	return "two-thirds of the lifetime have passed"
}

// load says whether servers must load the newest pair now, and else when. While that
// is not current, all of them must, whatever they show; else what they show tells.
func load(now time.Time, f Facts) Step {
	if f.Newest == nil || !now.Before(f.Newest.end()) {
		return Step{} // an expired pair helps nobody, and could replace a better one
	}
	s := Step{Do: Load, Why: "a server does not show the newest certificate"}
	if !f.Current && !slices.ContainsFunc(f.Servers, func(s Server) bool { return !s.Passive }) {
		return alone(now, f)
	}
	var at time.Time
	for i, server := range f.Servers {
		if f.Current && (!f.Seen || server.Served == f.Newest.ID) {
			continue
		}
		if server.Held || server.Passive { // only a look shows that something has changed
			at = sooner(at, now.Add(loading.Longest))
			continue
		}
		if retry := server.Failed.retry(now, f.Newest, loading); now.Before(retry) {
			if earlier(retry, at) {
				at = retry
			}
			continue
		}
		s.Servers = append(s.Servers, i)
	}
	if len(s.Servers) == 0 {
		return Step{Why: "next attempt to load the certificate", At: at}
	}
	return s
}

// alone has the newest pair made current where there is no server to load it now: the
// one that starts next does.
func alone(now time.Time, f Facts) Step {
	if retry := f.Switch.retry(now, f.Newest, loading); now.Before(retry) {
		return Step{Why: "next attempt to make the certificate current", At: retry}
	}
	return Step{Do: Load, Why: "the newest certificate is not current"}
}

// sooner returns the earlier of two times; zero is never.
func sooner(a, b time.Time) time.Time {
	if earlier(a, b) {
		return a
	}
	return b
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier reports whether a is a time and comes before b; zero is never.
func earlier(a, b time.Time) bool {
	return !a.IsZero() && (b.IsZero() || a.Before(b))
}
