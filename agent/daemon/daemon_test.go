package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/reload/redistest"
)

// limit bounds what must not hang.
const limit = 2 * time.Minute

// watching returns the configuration of a pair that another program renews, whose
// redis-server is not there.
func watching(t *testing.T) *config.Config {
	t.Helper()
	dir := t.TempDir()
	p := redistest.NewRoot(t).Issue(t, redistest.Leaf{Names: []string{"redis.internal"}})
	files := p.Write(t, dir)
	text := fmt.Sprintf(`directory: %[1]s/state
control: %[1]s/c.sock
clock_wait: 0s
issuer: none
names: [redis.internal]
servers: ['%[2]s']
paths: {cert: %[3]s, key: %[4]s, ca: %[5]s}
`, dir, redistest.FreeAddr(t), files.Cert, files.Key, files.CA)
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start runs the daemon of c until stop is called, which returns what it returned.
func start(t *testing.T, c *config.Config, prepare ...func(*Daemon)) (d *Daemon, stop func() error) {
	t.Helper()
	d = New(c, "test", slog.New(slog.NewTextHandler(t.Output(), nil)))
	for _, p := range prepare {
		p(d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	stop = func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(limit):
			return fmt.Errorf("it runs %s after it was told to stop", limit)
		}
	}
	deadline := time.Now().Add(limit)
	for {
		if s, err := control.Dial(c.Control).Status(t.Context()); err == nil && s.Instance != "" {
			return d, stop
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Whoever asks for a renewal or a reload gets an answer, also when one configuration
// follows the other, or the stop comes in between; and the daemon stops.
func TestAnswersEverybodyUntilItStops(t *testing.T) {
	c := watching(t)
	_, stop := start(t, c)
	client := control.Dial(c.Control)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			for range 20 {
				_ = client.Reload(ctx) // fails once the daemon has stopped
			}
		})
		asking.Go(func() {
			for range 20 {
				_, _ = client.Renew(ctx, false) // fails, because the server is down
			}
		})
	}
	if err := client.Reload(ctx); err != nil {
		t.Errorf("reload: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	asking.Wait()
	if ctx.Err() != nil {
		t.Error("somebody got no answer")
	}
}

// A reload that was taken and never carried out ends with the request.
func TestReloadEndsWithItsRequest(t *testing.T) {
	d := New(watching(t), "test", slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-d.changes
		cancel()
	}()
	if err := d.reload(ctx); !errors.Is(err, agent.ErrStopped) {
		t.Errorf("reload: %v", err)
	}
}

// A configuration that cannot be opened leaves the one before in force, and whoever
// asked for it is told why.
func TestFaultyConfigurationGoesBack(t *testing.T) {
	c := watching(t)
	_, stop := start(t, c)
	client := control.Dial(c.Control)
	good, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]string{
		"a fault of the text":         "nonsense: 1\n",
		"an address of somebody else": "metrics: {listen: '203.0.113.1:9742'}\n", // RFC 5737: nobody's
		"another control socket":      "",
	} {
		text := string(good) + more
		if more == "" {
			text = strings.Replace(text, "/c.sock", "/d.sock", 1)
		}
		if err := os.WriteFile(c.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := client.Reload(t.Context()); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if s, err := client.Status(t.Context()); err != nil || s.Pair == nil {
			t.Errorf("%s: afterwards %+v, %v", name, s, err)
		}
	}
	if err := os.WriteFile(c.Path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.Reload(t.Context()); err != nil {
		t.Errorf("the good one again: %v", err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
