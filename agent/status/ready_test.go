package status

import (
	"strings"
	"testing"
	"time"
)

func TestReady(t *testing.T) {
	expired, early, none, proven := healthy(), healthy(), healthy(), healthy()
	expired.Now, early.Now, none.Pair = notAfter, notAfter.Add(-25*time.Hour), nil
	busy := healthy()
	busy.CAs[0].Fault, busy.Degraded = "it is down", true
	for name, c := range map[string]struct {
		Status
		ready string // the kinds that are
		says  string
	}{
		"all is well":               {proven, "servers pair agent", "2 of 2 servers proven"},
		"only the authority is not": {busy, "servers pair agent", "2 of 2 servers proven"},
		"a server is down":          {troubled(), "pair agent", "0 of 4 servers proven; 127.0.0.1:6379 is stale"},
		"it has expired":            {expired, "agent", "has expired"},
		"it is not valid yet":       {early, "agent", "is not valid before"},
		"there is none":             {none, "agent", "no certificate"},
	} {
		for _, kind := range ReadyKinds {
			ok, text := c.Ready(kind)
			if want := strings.Contains(c.ready, kind); ok != want || strings.HasPrefix(text, "ready: ") != want {
				t.Errorf("%s, %s: %t, %q", name, kind, ok, text)
			}
			if kind == ReadyServers && !strings.Contains(text, c.says) {
				t.Errorf("%s: %q", name, text)
			}
		}
	}
}
