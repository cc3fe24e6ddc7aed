package reload

import (
	"strings"
	"testing"
)

// What a group can spare: quorum, majority and those that are away count.
func TestNotSpared(t *testing.T) {
	for _, tt := range []struct {
		name   string
		m      Watched
		urgent bool
		want   string // a part of why not; empty: it can be spared
	}{
		{"three", Watched{Quorum: 2, Known: 3}, false, ""},
		{"three that all must agree", Watched{Quorum: 3, Known: 3}, false, "2 of 3 Sentinels would be left, and a failover needs 3"},
		{"one of three is away", Watched{Quorum: 2, Known: 3, Absent: []string{"a:1"}}, true, "1 of 3"},
		{"one of five is away", Watched{Quorum: 2, Known: 5, Absent: []string{"a:1"}}, false, "a:1 does not answer"},
		{"one of five, shortly before the end", Watched{Quorum: 2, Known: 5, Absent: []string{"a:1"}}, true, ""},
		{"two of five, shortly before the end", Watched{Quorum: 2, Known: 5, Absent: []string{"a:1", "b:1"}}, true, "2 of 5 Sentinels would be left, and a failover needs 3"},
		{"two", Watched{Quorum: 1, Known: 2}, true, "1 of 2"},
		{"one alone", Watched{Quorum: 1, Known: 1}, true, "0 of 1"},
		{"no quorum already", Watched{Quorum: 2, Known: 3, Fault: "NOQUORUM"}, true, "NOQUORUM"},
	} {
		tt.m.Name = "m"
		why := Group{Masters: []Watched{{Name: "other", Quorum: 2, Known: 3}, tt.m}}.NotSpared(tt.urgent)
		if (why == "") != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, why, tt.want)
		}
	}
	if why := (Group{}).NotSpared(false); why != "" {
		t.Errorf("one that watches nothing: %q", why)
	}
}

// Lists in lists pass only where they are asked for, and end where they say.
func TestNestedReplies(t *testing.T) {
	const nested = "*2\r\n*2\r\n$1\r\na\r\n*0\r\n*1\r\n:1\r\n"
	pass := func(depth int, text string) error {
		r := &replies{depth: depth, head: make([]byte, 0, maxHead)}
		for i := 0; i < len(text); i++ {
			if r.bulk > 0 {
				skip := min(r.bulk, len(text)-i)
				r.bulk -= skip
				i += skip - 1
				continue
			}
			if err := r.next(text[i]); err != nil {
				return err
			}
		}
		if len(r.items) > 0 {
			t.Errorf("depth %d: %q is not over: %v", depth, text, r.items)
		}
		return nil
	}
	if err := pass(2, "*2\r\n*1\r\n$1\r\na\r\n*1\r\n:1\r\n+OK\r\n*1\r\n*1\r\n$-1\r\n"); err != nil {
		t.Error(err)
	}
	for depth, text := range map[int]string{1: nested, 2: "*1\r\n*1\r\n*1\r\n:1\r\n"} {
		if pass(depth, text) == nil {
			t.Errorf("depth %d: %q passes", depth, text)
		}
	}
	if err := pass(1, "*2\r\n:1\r\n:2\r\n*2\r\n+a\r\n+b\r\n"); err != nil {
		t.Error(err)
	}
}
