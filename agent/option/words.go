package option

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the known word that a mistyped one most likely means, or ""
// when none is near.
func Nearest(word string, known []string) string {
	word = strings.ToLower(strings.ReplaceAll(word, "-", "_"))
	best, bestDistance := "", len(word)/3+1
	for _, k := range known {
		plain := strings.ReplaceAll(k, "-", "_")
		if plain == word {
			return k
		}
		if d := distance(word, plain); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = k, d
		}
	}
	if best != "" || len(word) < 3 {
		return best
	}
	// A longer or a shorter form of the same word: password, password_file.
	for _, k := range known {
		if strings.HasPrefix(k, word) || strings.HasPrefix(word, k) {
			return k
		}
	}
	return ""
}

// distance is the number of inserted, removed, changed or swapped letters
// between two words (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// Meant ends a message about an unknown word: with the likely one, or else
// with all there are.
func Meant(word string, known []string) string {
	if k := Nearest(word, known); k != "" {
		return "did you mean " + k + "?"
	}
	if len(known) == 1 {
		return "write " + known[0]
	}
	known = slices.Clone(known)
	slices.Sort(known)
	return "write one of " + strings.Join(known, ", ")
}

// Quote shows a value in a message: in one line, and not more than 80 bytes.
func Quote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Sprintf("%q", s)
}
