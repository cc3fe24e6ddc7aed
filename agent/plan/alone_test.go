package plan

import (
	"testing"
	"time"
)

// Where no server is known yet the newest pair is made current all the same, and a
// failure of that is tried again, not at once.
func TestWithoutServers(t *testing.T) {
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	f := Facts{Newest: &Certificate{ID: "a", Chain: []Window{{From: now.Add(-time.Hour), To: now.Add(23 * time.Hour)}}}}
	if s := Next(now, f, DefaultPolicy()); s.Do != Load || len(s.Servers) != 0 {
		t.Errorf("%+v", s)
	}
	f.Switch = Attempts{Failed: 3, Last: now}
	if s := Next(now, f, DefaultPolicy()); s.Do != Wait || !s.At.After(now) || s.At.After(now.Add(time.Minute)) {
		t.Errorf("after failures: %+v", s)
	}
	f.Switch, f.Current = Attempts{}, true
	if s := Next(now, f, DefaultPolicy()); s.Do != Wait || !s.At.Equal(s.Due) {
		t.Errorf("current: %+v", s)
	}
}
