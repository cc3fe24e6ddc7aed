package plan

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// issuedAt returns a pair of a day that was issued at the hour h.
func issuedAt(h float64) Certificate {
	return Certificate{ID: "new", Since: at(h), Chain: []Window{{at(h), at(h + 24)}}}
}

// TestTurn: what came out of turn is due when it would have been, had it come in time, and
// never later than at two-thirds of its lifetime.
func TestTurn(t *testing.T) {
	policy := Policy{Jitter: 1e-9, Turns: true}
	for _, c := range []struct {
		name     string
		issued   float64
		replaced float64
		want     float64
	}{
		{"in time", 10, 10, 26},
		{"by force, half-way", 10, 18, 18},
		{"by force, when it was hardly issued", 10, 25.9, 25.9},
		{"a longer one before it was due long afterwards", 10, 300, 26},
		{"late", 10, 7, 23},
		{"late by more than a lifetime", 100, 0, 100 + 16 - 100 + 6*16},
	} {
		p := issuedAt(c.issued)
		p.Replaced = at(c.replaced)
		if got := Due(p, policy); got.Sub(at(c.want)).Abs() > time.Second {
			t.Errorf("%s: due at %s, want %s", c.name, got, at(c.want))
		}
		for _, other := range []Policy{{Jitter: 1e-9}, {Turns: true}} {
			if got := Due(p, other); got.Sub(at(c.issued+16)).Abs() > time.Second {
				t.Errorf("%s: due at %s where hosts keep no turn", c.name, got)
			}
		}
	}
}

// TestTurnIsNeverAtOnce: whatever was before, a certificate lasts a while, and not beyond
// its two-thirds; a restart changes nothing.
func TestTurnIsNeverAtOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for n := range 20_000 {
		p := issuedAt(1000)
		p.ID, p.Spread, p.First = strconv.Itoa(n), random.Float64(), n%2 == 0
		if !p.First {
			p.Replaced = at(2000 * random.Float64())
		}
		due := Due(p, DefaultPolicy())
		if due.Before(at(1000).Add(17*time.Minute)) || due.After(at(1016)) {
			t.Fatalf("%+v is due at %s", p, due)
		}
		if again := Due(p, DefaultPolicy()); !again.Equal(due) {
			t.Fatalf("%+v is due at %s, and then at %s", p, due, again)
		}
	}
}

// TestMissed: a certificate that could not be used at once keeps a turn that is still to
// come, whenever that is; not one that is over.
func TestMissed(t *testing.T) {
	policy := Policy{Jitter: 1e-9, Turns: true}
	for _, c := range []struct {
		name               string
		issued, replaced   float64
		usedLater, notLost float64 // hours after the issue
	}{
		{"by force, shortly before its turn", 10, 10.5, 0.6, 0.1},
		{"by force, half-way", 10, 18, 7.9, 7.5},
		{"late", 10, 7, 13, 12},
	} {
		p := issuedAt(c.issued)
		p.Replaced = at(c.replaced)
		if !p.Missed(at(c.issued+c.usedLater), policy) {
			t.Errorf("%s: used after %g hours it keeps its turn", c.name, c.usedLater)
		}
		if p.Missed(at(c.issued+c.notLost), policy) || p.Missed(at(c.issued).Add(time.Second), policy) {
			t.Errorf("%s: used after a second or %g hours it loses its turn", c.name, c.notLost)
		}
	}
	if p := issuedAt(10); p.Missed(at(40), policy) {
		t.Error("without a turn: it is missed")
	}
}

// TestFirstIsSpread: the first certificates of hosts that were made together are due all
// over the usual time.
func TestFirstIsSpread(t *testing.T) {
	const hosts, parts = 16_000, 16
	var count [parts + 1]int
	random := rand.New(rand.NewPCG(2, 2))
	for range hosts {
		p := issuedAt(0)
		p.ID, p.Spread, p.First = strconv.FormatUint(random.Uint64(), 16), random.Float64(), true
		count[int(Due(p, DefaultPolicy()).Sub(epoch)/time.Hour)]++
	}
	for hour, n := range count[:parts-2] { // in the last ones the jitter tells
		if n > hosts/parts*5/4 || n < hosts/parts/2 {
			t.Errorf("in hour %d %d of %d", hour, n, hosts)
		}
	}
}

// TestComeback: after an outage a host waits in proportion to what it had to do without,
// and not until its certificate is critical.
func TestComeback(t *testing.T) {
	for _, c := range []struct {
		name        string
		last, back  float64 // the last look that met nobody, the first that was answered
		least, most float64 // when the authority is asked
		pair        *Certificate
	}{
		{name: "a minute", last: 16 + 1./60, back: 16 + 1./60, least: 16 + 5./60, most: 16 + 5./60, pair: day()},
		{name: "some time between two looks", last: 16.5, back: 17, least: 18.5, most: 21, pair: day()},
		{name: "six hours", last: 21.4, back: 21.5, least: 21.6, most: 21.6, pair: day()},
		{name: "until little is left", last: 22.5, back: 22.6, least: 0, most: 0, pair: day()},
		{name: "no certificate", last: 17, back: 17},
	} {
		a := Attempts{Failed: 3, Last: at(c.last), Since: at(16), Back: at(c.back)}
		got := a.Hold(at(c.back), c.pair)
		if c.most == 0 {
			if !got.IsZero() {
				t.Errorf("%s: asked at %s, want at once", c.name, got)
			}
			continue
		}
		if got.Before(at(c.least).Add(-time.Second)) || got.After(at(c.most).Add(time.Second)) {
			t.Errorf("%s: asked at %s, want %s to %s", c.name, got, at(c.least), at(c.most))
		}
		unfit := *c.pair
		unfit.Unfit = "it is not for b.internal"
		if got := a.Hold(at(c.back), &unfit); !got.IsZero() {
			t.Errorf("%s: one that does not fit is asked for at %s", c.name, got)
		}
	}
}
