package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload/redistest"
)

// sourced returns the configuration of watching with other servers, and its files.
func sourced(t *testing.T, servers string) (*config.Config, redistest.Files) {
	t.Helper()
	c := watching(t)
	text, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "servers: ['"+c.Servers[0].Address+"']", "servers: "+servers, 1)
	if err := os.WriteFile(c.Path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = config.Load(c.Path); err != nil {
		t.Fatal(err)
	}
	return c, redistest.Files{Cert: c.Pair.Paths.Cert, Key: c.Pair.Paths.Key, CA: c.Pair.Paths.CA}
}

// A host shows servers to a daemon, as they start.
type host struct {
	t   *testing.T
	dir string
}

func newHost(t *testing.T) host {
	h := host{t, t.TempDir()}
	for _, name := range []string{"self", "1"} {
		h.link(name)
	}
	return h
}

func (h host) link(name string) {
	h.t.Helper()
	if err := os.Symlink("/proc/"+name, filepath.Join(h.dir, name)); err != nil {
		h.t.Fatal(err)
	}
}

// runs starts a server with its file in the usual place.
func (h host) runs(o redistest.Options) *redistest.Server {
	s := redistest.Start(h.t, o)
	h.link(strconv.Itoa(s.PID()))
	text, err := os.ReadFile(s.Dir + "/redis.conf")
	if err == nil {
		err = os.WriteFile(filepath.Join(h.dir, strconv.Itoa(s.PID())+".conf"), text, 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// prepare has a daemon look there, often.
func (h host) prepare(d *Daemon) {
	d.finder.places = discover.Places{Proc: h.dir, Confs: []string{h.dir + "/*.conf"}}
	d.findEvery = 50 * time.Millisecond
}

// awaits waits until the status is as wanted.
func awaits(t *testing.T, d *Daemon, what string, wanted func(status.Status) bool) {
	t.Helper()
	deadline := time.After(limit)
	for changed := d.board.Watch(); !wanted(d.board.Get()); {
		select {
		case <-changed:
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: %+v", what, d.board.Get())
		}
	}
}

func states(s status.Status) (all []string) {
	for _, server := range s.Servers {
		all = append(all, server.Address+" "+string(server.State))
	}
	slices.Sort(all)
	return all
}

// Servers that load the pair are found as they start, without a restart; one that ends
// is told; others are left alone.
func TestAuto(t *testing.T) {
	c, files := sourced(t, "[auto]")
	h := newHost(t)
	d, stop := start(t, c, h.prepare)
	awaits(t, d, "none", func(s status.Status) bool {
		return len(s.Servers) == 0 && strings.Contains(s.Missing, "servers: auto finds no redis-server on this host that loads "+files.Cert)
	})
	h.runs(redistest.Options{}) // with a pair of its own
	one := h.runs(redistest.Options{Files: files})
	awaits(t, d, "one", func(s status.Status) bool {
		return slices.Equal(states(s), []string{one.Addr + " proven"}) && s.Missing == ""
	})
	two := h.runs(redistest.Options{Files: files, AuthClients: "yes"})
	one.Stop()
	want := []string{one.Addr + " unreachable", two.Addr + " proven"}
	slices.Sort(want)
	awaits(t, d, "the other", func(s status.Status) bool {
		_ = d.active.look(t.Context())
		return slices.Equal(states(d.board.Get()), want)
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A redis.conf tells the address before its server runs, and what is wrong with the file
// is told until it is mended.
func TestConfAsServer(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "redis.conf")
	c, _ := sourced(t, "[{address: "+conf+", timeout: 1s}]")
	d, stop := start(t, c, newHost(t).prepare)
	for text, want := range map[string]string{"": "no such file", "port 7000\n": "has no tls-port", "tls-port 0\ninclude " + conf + "\n": "includes itself"} {
		if text != "" {
			if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		awaits(t, d, want, func(s status.Status) bool {
			return strings.Contains(s.Missing, conf) && strings.Contains(s.Missing, want)
		})
		if text != "" {
			if err := os.Remove(conf); err != nil {
				t.Fatal(err)
			}
		}
	}
	addr := redistest.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	if err := os.WriteFile(conf, []byte("bind 127.0.0.1\ntls-port "+port+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	awaits(t, d, addr, func(s status.Status) bool { return slices.Equal(states(s), []string{addr + " unreachable"}) })
	if err := stop(); err != nil {
		t.Error(err)
	}
}
