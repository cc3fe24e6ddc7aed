package agent

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload/redistest"
)

// A state is one that a server can be in when the newest pair is to be loaded, as the table
// in DESIGN.md has it.
type state struct {
	redis   func(h *stateHost, o *redistest.Options) // how redis is set from the beginning; may be nil
	control bool                                     // commands go through h.proxy
	fault   func(h *stateHost)                       // before the renewal
	shows   string                                   // what a handshake shows after it: new, old or nothing
	current string                                   // what a server that starts then loads: new or old
	is      status.ServerState
	held    bool               // it is not tried again by itself
	mend    func(h *stateHost) // the cause ends; nil: there is none
}

// rsaOnly takes handshakes with RSA keys alone. The second cipher is not known to anybody,
// so that this cannot be told from the settings.
func rsaOnly(more string) func(*stateHost, *redistest.Options) {
	return func(h *stateHost, o *redistest.Options) {
		h.first = cert.RSA2048
		o.Conf = []string{"tls-protocols TLSv1.2", "tls-ciphers ECDHE-RSA-AES128-GCM-SHA256" + more}
	}
}

// ownCA trusts clients by a file that the agent does not write.
func ownCA(h *stateHost, o *redistest.Options) {
	h.put(certPEM(h.w.ca.root))
	o.Files.CA = h.caFile()
}

var states = map[string]state{
	"well": {shows: "new", current: "new", is: status.Proven},
	"it is down": {
		fault: func(h *stateHost) { h.redis.Stop() }, shows: "nothing", current: "new", is: status.Unreachable,
		mend: func(h *stateHost) { h.redis.Restart() },
	},
	"it hangs": {
		fault: func(h *stateHost) { h.signal(unix.SIGSTOP) }, shows: "nothing", current: "new", is: status.Unreachable,
		mend: func(h *stateHost) { h.signal(unix.SIGCONT) },
	},
	"it denies": {
		fault: func(h *stateHost) { h.do("ACL", "SETUSER", "agent", "-config") }, shows: "old", current: "new", is: status.Failing,
		mend: func(h *stateHost) { h.do("ACL", "SETUSER", "agent", "+config|get", "+config|set") },
	},
	"it denies, and restarts": {
		fault: func(h *stateHost) { h.do("ACL", "SETUSER", "agent", "-config") }, shows: "old", current: "new", is: status.Failing,
		mend: func(h *stateHost) { h.redis.Restart() },
	},
	"it is busy": {
		redis: func(_ *stateHost, o *redistest.Options) { o.Conf = []string{"lua-time-limit 10"} },
		fault: (*stateHost).busy, shows: "old", current: "new", is: status.Failing,
		mend: (*stateHost).idle,
	},
	"it could not serve it": {
		redis: rsaOnly(""), fault: func(h *stateHost) { h.w.agent.opt.KeyType = cert.P256 }, shows: "old", current: "old", is: status.Failing,
		mend: func(h *stateHost) { h.do("CONFIG", "SET", "tls-ciphers", "DEFAULT") },
	},
	"its peers would refuse it": {
		redis: func(h *stateHost, o *redistest.Options) { ownCA(h, o); o.AuthClients = "yes" },
		fault: (*stateHost).changeCA, shows: "old", current: "old", is: status.Failing,
		mend: func(h *stateHost) { h.put(certPEM(h.w.ca.root)) },
	},
	"it refuses the files": {
		redis: ownCA, fault: func(h *stateHost) { h.put([]byte("-----BEGIN CERTIFICATE-----\n")) }, shows: "old", current: "old", is: status.Failing,
		mend: func(h *stateHost) { h.put(certPEM(h.w.ca.root)) },
	},
	"it says OK and shows another": {
		redis: (*stateHost).copied, shows: "old", current: "old", is: status.Failing,
		mend: (*stateHost).linked,
	},
	"it says OK and ends handshakes": {
		redis: rsaOnly(":ECDHE-MLDSA-AES128-GCM-SHA256"), fault: func(h *stateHost) { h.w.agent.opt.KeyType = cert.P256 },
		shows: "old", current: "old", is: status.Failing, held: true,
		mend: func(h *stateHost) { h.do("CONFIG", "SET", "tls-ciphers", "DEFAULT") },
	},
	"it ends handshakes, and keeps it": {
		redis: rsaOnly(":ECDHE-MLDSA-AES128-GCM-SHA256"), control: true,
		fault: func(h *stateHost) {
			h.w.agent.opt.KeyType = cert.P256
			h.atSet(func(n int) (string, bool) { return "", n > 1 }) // the connection breaks when it is to be undone
		},
		shows: "nothing", current: "old", is: status.Failing,
		mend: func(h *stateHost) {
			h.atSet(nil)
			h.redis.Restart()
			h.do("CONFIG", "SET", "tls-ciphers", "DEFAULT")
		},
	},
	"it serves it and locks the agent out": {
		redis: func(h *stateHost, o *redistest.Options) {
			ownCA(h, o)
			h.padding = strings.Repeat("#\n", maxWatched) // more than the agent reads of it
			h.put(certPEM(h.w.ca.root))
			o.AuthClients = "yes"
		},
		fault: (*stateHost).changeCA, shows: "old", current: "old", is: status.Failing, held: true,
		mend: func(h *stateHost) { h.put(certPEM(h.w.ca.root)) },
	},
	"no answer, and it took it": {
		control: true, fault: func(h *stateHost) {
			h.atSet(func(int) (string, bool) { h.do("CONFIG", "SET", "tls-cert-file", h.files().Cert); return "", true })
		}, shows: "new", current: "new", is: status.Proven,
	},
	"no answer, and it did not take it": {
		control: true, fault: func(h *stateHost) { h.atSet(func(int) (string, bool) { return "", true }) },
		shows: "old", current: "old", is: status.Failing, mend: func(h *stateHost) { h.atSet(nil) },
	},
	"no answer, and it hangs": {
		control: true, fault: func(h *stateHost) { h.atSet(func(int) (string, bool) { h.signal(unix.SIGSTOP); return "", true }) },
		shows: "nothing", current: "old", is: status.Unreachable,
		mend: func(h *stateHost) { h.atSet(nil); h.signal(unix.SIGCONT) },
	},
	"no answer, and it is down": {
		control: true, fault: func(h *stateHost) { h.atSet(func(int) (string, bool) { h.signal(unix.SIGKILL); return "", true }) },
		shows: "nothing", current: "old", is: status.Unreachable,
		mend: func(h *stateHost) { h.atSet(nil); h.redis.Restart() },
	},
}

// TestStates makes each state of the table in DESIGN.md on a real redis-server. Where the
// answer to CONFIG SET is lost, which a redis-server cannot be made to do, a proxy between
// it and the agent loses it; and what hangs, ends or breaks in that moment does so by it.
func TestStates(t *testing.T) {
	for name, s := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newStateHost(t, s)
			if s.fault != nil {
				s.fault(h)
			}
			err := h.w.agent.Once(t.Context(), true)
			if well := s.is == status.Proven; (err == nil) != well {
				t.Errorf("renew: %v", err)
			}
			h.expect("after the renewal", s.shows, s.current, s.is)
			if held := h.w.agent.newest.servers[0].undone; held != s.held {
				t.Errorf("held: %v, want %v", held, s.held)
			}
			if s.mend == nil {
				return
			}
			s.mend(h)
			err = h.w.agent.Once(t.Context(), false)
			h.expect("after the cause has ended", "new", "new", status.Proven)
			if err != nil || h.w.ca.issued != 2 {
				t.Errorf("renew: %v, after %d certificates", err, h.w.ca.issued)
			}
		})
	}
}

// The table in DESIGN.md has a row for each state, and a state for each row.
func TestStatesAreThoseOfTheDesign(t *testing.T) {
	text, err := os.ReadFile("../DESIGN.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| state of the server |")
	if !found {
		t.Fatal("DESIGN.md has no table of states")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := map[string][]string{}
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows[cells[1]] = cells
	}
	for name, s := range states {
		row := rows[name]
		delete(rows, name)
		if len(row) < 6 || row[3] != s.shows || row[4] != s.current {
			t.Errorf("%s: the row of DESIGN.md is %q; it shows %s, and current leads to %s", name, row, s.shows, s.current)
			continue
		}
		if held := strings.HasPrefix(row[5], "held"); held != s.held {
			t.Errorf("%s: held is %v", name, s.held)
		}
	}
	for name := range rows {
		t.Errorf("%q of DESIGN.md has no test", name)
	}
}
