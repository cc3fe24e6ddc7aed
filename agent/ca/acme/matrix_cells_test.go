package acme

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A dimension of the matrix is what one ACME CA does and another does not.
type dimension struct {
	name   string
	values []string
}

var dimensions = []dimension{
	{"nonces", []string{"0", "50", "90"}},   // percent that are refused
	{"sleep", []string{"0", "15"}},          // seconds before it looks for a challenge, at most
	{"reuse", []string{"0", "50", "100"}},   // percent of names that need not be proved again
	{"length", []string{"0", "1", "3"}},     // intermediates; 0: a CA that is set up badly sends the certificate alone
	{"alternates", []string{"0", "1", "3"}}, // roots that other chains lead to; the last is the preferred one
	{"strict", []string{"no", "yes"}},       // whether what RFC 8555 only tolerates is refused
	{"profile", []string{"no", "yes"}},      // whether one is asked for
	{"eab", []string{"no", "yes"}},          // whether accounts are for customers alone
	{"stages", []string{"no", "yes"}},       // whether what is done shows bit by bit
	{"way", []string{kindHTTP01, kindTLSALPN01, kindDNS01}},
}

// A cell has a value of each dimension.
type cell map[string]string

func (c cell) is(name, value string) bool { return c[name] == value }

func (c cell) number(name string) int {
	n, _ := strconv.Atoi(c[name]) // they stand above
	return n
}

// matrix returns all cells.
func matrix() []cell {
	all := []cell{{}}
	for _, d := range dimensions {
		var next []cell
		for _, c := range all {
			for _, v := range d.values {
				more := maps.Clone(c)
				more[d.name] = v
				next = append(next, more)
			}
		}
		all = next
	}
	return all
}

// chosen returns the cells to run. Any two values of two dimensions are together in one of
// them. ACME_MATRIX=all is all cells, and ACME_MATRIX=SEED the same choice again.
func chosen(t *testing.T) []cell {
	all, seed := matrix(), uint64(time.Now().UnixNano())
	switch text := os.Getenv("ACME_MATRIX"); text {
	case "all":
		return all
	case "":
	default:
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = given
	}
	t.Logf("ACME_MATRIX=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	some := pairwise(all)
	slices.SortStableFunc(some, func(a, b cell) int { return b.number("sleep") - a.number("sleep") }) // the others run meanwhile
	return some
}

// pairwise takes the cell with the most pairs of values that none before has, until there
// are no more.
func pairwise(all []cell) (some []cell) {
	missing := map[string]bool{}
	for _, c := range all {
		for _, p := range c.pairs() {
			missing[p] = true
		}
	}
	for len(missing) > 0 {
		var best cell
		most := 0
		for _, c := range all {
			n := 0
			for _, p := range c.pairs() {
				if missing[p] {
					n++
				}
			}
			if n > most {
				best, most = c, n
			}
		}
		for _, p := range best.pairs() {
			delete(missing, p)
		}
		some = append(some, best)
	}
	return some
}

// pairs returns the pairs of values that the cell shows anything of: one whose CA gives no
// certificate of use hides what its other values do.
func (c cell) pairs() (pairs []string) {
	ends := func(d dimension) bool { return c[d.name] == "90" || d.name == "length" && c[d.name] == "0" }
	hides := slices.ContainsFunc(dimensions, ends)
	for i, d := range dimensions {
		for _, e := range dimensions[:i] {
			if hides && !ends(d) && !ends(e) {
				continue
			}
			pairs = append(pairs, d.name+c[d.name]+" "+e.name+c[e.name])
		}
	}
	return pairs
}

// A summary counts by the values of each dimension.
type summary struct {
	mu    sync.Mutex
	rows  map[string]result
	cells map[string]int
}

func newSummary() *summary { return &summary{rows: map[string]result{}, cells: map[string]int{}} }

const allCells = "all"

func (s *summary) add(c cell, r result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{allCells}
	for _, d := range dimensions {
		names = append(names, d.name+" "+c[d.name])
	}
	for _, name := range names {
		was := s.rows[name]
		s.rows[name] = result{was.Plus(r.Counts), was.issued + r.issued, was.refused + r.refused, max(was.most, r.most)}
		s.cells[name]++
	}
}

// table is the summary for people.
func (s *summary) table() string {
	names := []string{}
	for _, d := range dimensions {
		for _, v := range d.values {
			names = append(names, d.name+" "+v)
		}
	}
	var b strings.Builder
	const row = "%-20s %6v %7v %8v %7v %9v %9v %7v %5v\n"
	fmt.Fprintf(&b, row, "", "cells", "issued", "refused", "orders", "a need", "accounts", "failed", "open")
	for _, name := range slices.Concat(names, []string{allCells}) {
		r := s.rows[name]
		fmt.Fprintf(&b, row, name, s.cells[name], r.issued, r.refused, r.Orders, "≤ "+strconv.Itoa(r.most), r.Accounts, r.Failed, r.Open)
	}
	return b.String()
}
