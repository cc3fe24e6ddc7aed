package ratelimit

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// tokens is a bucket that is counted as Let's Encrypt describes it: so many at once, and
// one more after each refill.
type tokens struct {
	left, most float64
	each       time.Duration
	last       time.Time
}

func (k *tokens) take(now time.Time) (had bool) {
	k.left = min(k.most, k.left+float64(now.Sub(k.last))/float64(k.each))
	k.last = now
	if k.left < 1-1e-6 {
		return false
	}
	k.left--
	return true
}

// What the book allows, the bucket has; and what the bucket has, the book allows.
func TestBucket(t *testing.T) {
	for _, l := range all {
		for seed := range uint64(50) {
			r := rand.New(rand.NewPCG(seed, 1))
			k, b, now := tokens{float64(l.Most), float64(l.Most), l.Each, start}, buckets{}, start
			for range 4 * l.Most {
				now = now.Add(time.Duration(r.Int64N(int64(l.Each)*3/2 + 1)))
				if r.IntN(20) == 0 {
					now = now.Add(time.Duration(r.IntN(l.Most)) * l.Each)
				}
				b.forget(now)
				u := b.free(now, map[Limit][]string{l: {"x"}})
				if had := k.take(now); had != (u == nil) {
					t.Fatalf("%s, seed %d: the bucket has one: %t, the book says %v", l.Code, seed, had, u)
				}
				if u == nil {
					b.take(l, "x", now)
				} else if u.Used != l.Most {
					t.Fatalf("%s, seed %d: nothing is left, and %d of %d are used", l.Code, seed, u.Used, l.Most)
				}
			}
		}
	}
}

// A second process knows what the first one took; other CAs and other names do not matter.
func TestBookOutlivesItsProcess(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "limits.json"), start
	names := []string{"b.example", "A.example"}
	for range 5 {
		b := Open(path, "ca1")
		if u := b.May(now, names); u != nil {
			t.Fatal(u)
		}
		if err := b.Issued(now, names); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	b := Open(path, "ca1")
	u := b.May(now, []string{"a.example", "B.example"})
	if u == nil || u.Code != Duplicates.Code || !u.Next.Equal(start.Add(34*time.Hour)) {
		t.Errorf("the sixth certificate: %+v", u)
	}
	if u.String() != "5 of 5 duplicate certificates this week" {
		t.Errorf("%s", u)
	}
	if u := b.May(now, []string{"a.example"}); u != nil {
		t.Errorf("another set of names: %s", u)
	}
	if u := Open(path, "ca2").May(now, names); u != nil {
		t.Errorf("another CA: %s", u)
	}
	if u := b.May(u.Next, names); u != nil {
		t.Errorf("when one is given back: %s", u)
	}
	text := ""
	for _, u := range Nearest(b.Uses(now, names)) {
		text += u.String() + "\n"
	}
	if want := "5 of 5 duplicate certificates this week\n4 of 50 certificates of a registered domain this week\n"; !strings.HasPrefix(text, want[:39]) || !strings.Contains(text, "of 50") {
		t.Errorf("uses:\n%s", text)
	}
	if uses := b.Uses(start.AddDate(0, 1, 0), names); len(uses) != 0 {
		t.Errorf("a month later: %v", uses)
	}
}

// A name that fails is held after five times, and others are not; a wildcard is proved by
// its base. What is proved is no failure in a row.
func TestFailures(t *testing.T) {
	b := Open(filepath.Join(t.TempDir(), "limits.json"), "ca")
	for range 5 {
		if err := b.Failed(start, "R.example"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"r.example", "*.r.example"} {
		if u := b.May(start, []string{name}); u == nil || u.Of != "r.example" || !u.Next.Equal(start.Add(12*time.Minute)) {
			t.Errorf("%s: %+v", name, u)
		}
	}
	if u := b.May(start, []string{"other.example"}); u != nil {
		t.Errorf("another name: %s", u)
	}
	if err := b.Proved(start, "r.example"); err != nil {
		t.Fatal(err)
	}
	for _, u := range b.Uses(start, []string{"r.example"}) {
		if u.Code == InARow.Code {
			t.Errorf("after a proof: %s", u)
		}
	}
}

// Nothing that may be in the file keeps a host from its certificate for long, and a book
// whose file cannot be written knows what was taken all the same.
func TestBookAndDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "limits.json")
	for _, text := range []string{"", "null", "[]", "{", `{"ca":null}`, `{"ca":{"new_orders":"2999-01-01T00:00:00Z","what":"2026-11-02T00:00:00Z"}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b := Open(path, "ca")
		if u := b.May(start, []string{"a"}); u != nil {
			t.Errorf("%q: %s", text, u)
		}
		if err := b.Ordered(start); err != nil || len(b.Uses(start, nil)) != 1 {
			t.Errorf("%q: %v, %v", text, err, b.Uses(start, nil))
		}
	}
	b := Open(filepath.Join(dir, "missing", "limits.json"), "ca")
	for range 10 {
		if err := b.Registered(start); err == nil {
			t.Error("kept without a directory")
		}
	}
	if u := b.MayRegister(start); u == nil {
		t.Error("what could not be kept is forgotten")
	}
	if u := Open("", "ca").MayRegister(start); u != nil {
		t.Error(u)
	}
}
