package acme

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// script writes a shell script and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDNS01Command(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify") // is not passed on
	n, _, o := startDNS(t, shape{})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Challenge = DNS01Command{Command: []string{self, hookArg, n.Addr}}
	names := []string{"c.internal", "*.c.internal"}
	good(t, issue(t, New(o), ca.Request{Names: names}), names, cert.P256)
	isClear(t, n, "_acme-challenge.c.internal.", 2)
}

// A failing command shows what it says in one line, and cleans up after it.
func TestDNS01CommandFails(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	log := filepath.Join(t.TempDir(), "log")
	o := p.options(t)
	o.Challenge = DNS01Command{Command: []string{script(t, `
echo "$#: $*" >>`+log+`
[ "$2" = cleanup ] && exit 0
printf 'no such zone:\n\033[31minternal\033[0m\n' >&2
exit 3`), "a b"}}
	says(t, refused(t, New(o), ca.Request{}), "prove redis1.internal: ", "hook present _acme-challenge.redis1.internal.: exit status 3: no such zone: [31minternal[0m")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "4: a b present _acme-challenge.redis1.internal. ") || !strings.HasPrefix(lines[1], "4: a b cleanup _acme-challenge.redis1.internal. ") {
		t.Errorf("called with %q", lines)
	}
}

// A command that hangs is killed with all that it started.
func TestDNS01CommandHangs(t *testing.T) {
	t.Parallel()
	alive := filepath.Join(t.TempDir(), "alive")
	hang := script(t, "mkfifo "+alive+"\n(exec 3<>"+alive+"; echo started; cat <&3)\n")
	d := DNS01Command{Command: []string{hang}, Timeout: 10 * time.Second}
	start := time.Now()
	err := d.run(t.Context(), "present", record{place: place{owner: "_acme-challenge.x."}, value: "v"})
	if err == nil {
		t.Fatal("it ended well")
	}
	says(t, err, "it did not end within 10s: started")
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	// Were the inner shell alive, it would hold the FIFO open for reading and
	// this open would succeed.
	if f, err := os.OpenFile(alive, os.O_WRONLY|0o4000 /* O_NONBLOCK */, 0); err == nil {
		f.Close()
		t.Error("what it started still runs")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.Timeout = time.Hour
	if err := d.run(ctx, "present", record{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What a good command leaves running does not hold it up.
func TestDNS01CommandLeavesChild(t *testing.T) {
	t.Parallel()
	d := DNS01Command{Command: []string{script(t, "sleep 60 &\nexit 0\n")}}
	start := time.Now()
	if err := d.run(t.Context(), "present", record{}); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 50*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestDNS01CommandMissing(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{})
	o := p.options(t)
	for _, path := range []string{"/nowhere/hook", t.TempDir()} {
		o.Challenge = DNS01Command{Command: []string{path}}
		says(t, refused(t, New(o), ca.Request{}), "prove: dns-01: the command does not run", path)
	}
	if p.Count("order-plz") > 0 {
		t.Error("an order was made")
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	var out tail
	for range 3000 {
		if n, err := out.Write([]byte("12345")); n != 5 || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = out.Write([]byte("end"))
	if len(out) != maxOutput || !strings.HasSuffix(string(out), "345end") {
		t.Errorf("%d bytes, ending in %q", len(out), out[len(out)-8:])
	}
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	got := environ([]string{"PATH=/bin", "NOTIFY_SOCKET=/x", "LISTEN_FDS=1", "NOTIFY_SOCKETS=kept", "WATCHDOG_USEC=1"})
	if want := []string{"PATH=/bin", "NOTIFY_SOCKETS=kept"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
