package cert

import (
	"crypto/x509"
	"reflect"
	"testing"
	"time"
)

// TestRecent: what was accepted at one time is judged anew as soon as a certificate has
// ended or begun, and when anything else is asked.
func TestRecent(t *testing.T) {
	for i := range faults {
		s := newSample()
		faults[i].do(s)
		c := s.build(t)
		for _, use := range []Use{AsServer, AsClient} {
			base := Question{Leaf: c.leaf, Sent: c.sent, Names: []string{s.name}, Uses: []Use{use}, Time: s.at, Roots: c.roots}
			_ = Judge(base)
			questions := []Question{base}
			for _, vary := range []func(*Question){
				func(q *Question) { q.Names = []string{"another.example"} },
				func(q *Question) { q.Names = nil },
				func(q *Question) { q.Uses = []Use{AsServer, AsClient} },
				func(q *Question) { q.Roots = nil },
				func(q *Question) { q.Roots = []*x509.Certificate{} },
				func(q *Question) { q.Sent = nil },
				func(q *Question) { q.Leaf = q.Roots[0] },
				func(q *Question) { q.Sent, q.Roots = q.Roots, q.Sent },
			} {
				q := base
				vary(&q)
				questions = append(questions, q)
			}
			for _, turn := range Turns(base.certificates()) {
				for _, at := range []time.Time{turn, turn.Add(-time.Nanosecond), turn.Add(time.Nanosecond), turn.Add(time.Second)} {
					q := base
					q.Time = at
					questions = append(questions, q)
				}
			}
			for n, q := range questions {
				if got, want := Judge(q), judge(q); !reflect.DeepEqual(got, want) {
					t.Errorf("fault %d, question %d at %s: %+v, want %+v", i, n, q.Time, got, want)
				}
			}
		}
	}
}
