package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload/redistest"
)

// A sentinel is a real one, and the unit that runs it.
type sentinel struct {
	unit, addr, conf, log string
	cmd                   *exec.Cmd // nil: it is stopped
	ended                 chan struct{}
	file                  string // its UnitFileState
	restarts              int
}

// A sentinels stands in for systemd on a real D-Bus: it runs three real Sentinels, and
// restarts one when it is asked to.
type sentinels struct {
	t   *testing.T
	mu  sync.Mutex
	all []*sentinel

	master string
	fault  string // what was wrong when a restart was asked for
}

func (s *sentinels) start(x *sentinel) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(path, x.conf, "--sentinel")
	if err := cmd.Start(); err != nil {
		s.t.Error(err)
		return
	}
	x.cmd, x.ended = cmd, make(chan struct{})
	ended := x.ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
}

func (s *sentinels) stop(x *sentinel) {
	if x.cmd == nil {
		return
	}
	_ = x.cmd.Process.Kill()
	<-x.ended
	x.cmd = nil
}

func (x *sentinel) path() dbus.ObjectPath {
	return dbus.ObjectPath("/org/freedesktop/systemd1/unit/" + strings.NewReplacer("@", "_40", "-", "_2d", ".", "_2e").Replace(x.unit))
}

// A managed answers as org.freedesktop.systemd1.Manager does.
type managed struct{ s *sentinels }

func (m managed) LoadUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	for _, x := range m.s.all {
		if x.unit == name {
			return x.path(), nil
		}
	}
	return "/org/freedesktop/systemd1/unit/none", nil
}

func (m managed) RestartUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	for _, x := range m.s.all {
		if x.unit == name {
			if x.cmd == nil || mode != "replace" {
				m.s.fault = "a unit that is stopped was to be started"
			}
			for _, other := range m.s.all {
				if other != x && !strings.HasPrefix(m.s.ask(other, "SENTINEL", "CKQUORUM", "m"), "+OK 3 usable") {
					m.s.fault = fmt.Sprintf("%s was restarted while %s says %s", x.unit, other.unit, m.s.ask(other, "SENTINEL", "CKQUORUM", "m"))
				}
			}
			m.s.stop(x)
			m.s.start(x)
			x.restarts++
		}
	}
	return "/org/freedesktop/systemd1/job/1", nil
}

// A property answers as org.freedesktop.DBus.Properties does.
type property struct {
	s *sentinels
	x *sentinel
}

func (p property) Get(of, name string) (dbus.Variant, *dbus.Error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	pid, active := uint32(0), "inactive"
	if p.x != nil && p.x.cmd != nil {
		pid, active = uint32(p.x.cmd.Process.Pid), "active"
	}
	switch {
	case name == "LoadState" && p.x == nil:
		return dbus.MakeVariant("not-found"), nil
	case name == "LoadState":
		return dbus.MakeVariant("loaded"), nil
	case name == "ActiveState":
		return dbus.MakeVariant(active), nil
	case name == "UnitFileState":
		return dbus.MakeVariant(p.x.file), nil
	case name == "MainPID":
		return dbus.MakeVariant(pid), nil
	}
	return dbus.Variant{}, dbus.MakeFailedError(fmt.Errorf("no property %s", name))
}

// ask sends a command to a Sentinel, and returns the first line of its answer.
func (s *sentinels) ask(x *sentinel, words ...string) string {
	pair, err := tls.LoadX509KeyPair(filepath.Join(filepath.Dir(x.conf), "pair/current/redis.crt"), filepath.Join(filepath.Dir(x.conf), "pair/current/redis.key"))
	if err != nil {
		return err.Error()
	}
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}}}
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", x.addr)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " "))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// serve answers on a D-Bus of this test's own, and returns its address.
func (s *sentinels) serve(dir string) string {
	s.t.Helper()
	conf := filepath.Join(dir, "bus.conf")
	err := os.WriteFile(conf, fmt.Appendf(nil, `<busconfig><type>system</type><listen>unix:path=%s/bus</listen>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="false"/><allow receive_sender="*"/></policy></busconfig>`, dir), 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	bus := exec.Command("dbus-daemon", "--config-file="+conf, "--nofork", "--print-address=1")
	out, err := bus.StdoutPipe()
	if err == nil {
		err = bus.Start()
	}
	if err != nil {
		s.t.Fatalf("dbus-daemon: %v: install it (apt install dbus)", err)
	}
	s.t.Cleanup(func() {
		_ = bus.Process.Kill()
		_ = bus.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	conn, err := dbus.Connect(address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	export := func(v any, path dbus.ObjectPath, of string) {
		if err := conn.Export(v, path, of); err != nil {
			s.t.Fatal(err)
		}
	}
	export(managed{s}, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
	export(property{s, nil}, "/org/freedesktop/systemd1/unit/none", "org.freedesktop.DBus.Properties")
	for _, x := range s.all {
		export(property{s, x}, x.path(), "org.freedesktop.DBus.Properties")
	}
	if _, err := conn.RequestName("org.freedesktop.systemd1", 0); err != nil {
		s.t.Fatal(err)
	}
	return address
}

// count returns how often each was restarted.
func (s *sentinels) count() (n [3]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.all {
		n[i] = x.restarts
	}
	return n
}

// Three real Sentinels with mTLS are restarted one after the other at each rotation, none
// while another is away, and none that is stopped or disabled.
func TestSentinelsAreRestarted(t *testing.T) {
	ca, err := sharedCA()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sentinels")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &sentinels{t: t, master: redistest.FreeAddr(t)}
	text := fmt.Sprintf(`issuer:
  step: {url: '%[1]s', fingerprint: %[2]s, provisioner: redis, password_file: %[3]s/provisioner-password}
names: [sentinels.internal, localhost, 127.0.0.1]
directory: %[3]s/pair
control: %[3]s/control.sock
files: {group: ""}
clock_wait: 0s
servers:
  - '%[4]s'
`, ca.URL, ca.Fingerprint, dir, s.master)
	password, err := os.ReadFile(filepath.Join(ca.dir, "secrets/provisioner-password"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("provisioner-password", string(password))
	host, port, _ := strings.Cut(s.master, ":")
	for i := range 3 {
		x := &sentinel{unit: fmt.Sprintf("redis-sentinel@%d.service", i), addr: redistest.FreeAddr(t), file: "enabled"}
		x.conf, x.log = filepath.Join(dir, fmt.Sprintf("sentinel%d.conf", i)), filepath.Join(dir, fmt.Sprintf("sentinel%d.log", i))
		_, own, _ := strings.Cut(x.addr, ":")
		current := filepath.Join(dir, "pair/current")
		write(filepath.Base(x.conf), fmt.Sprintf(`port 0
tls-port %s
bind 127.0.0.1
dir %s
logfile %s
tls-cert-file %s/redis.crt
tls-key-file %[4]s/redis.key
tls-ca-cert-file %[4]s/ca.crt
tls-replication yes
tls-auth-clients yes
sentinel monitor m %s %s 2
sentinel down-after-milliseconds m 3000
`, own, dir, x.log, current, host, port))
		text += fmt.Sprintf("  - {address: '%s', restart: %s}\n", x.addr, strings.TrimSuffix(x.unit, ".service"))
		s.all = append(s.all, x)
	}
	write("agent.yaml", text)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", s.serve(dir))

	c, err := config.Load(filepath.Join(dir, "agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- daemon.New(c, "test", slog.New(slog.NewTextHandler(t.Output(), nil))).Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	client := control.Dial(filepath.Join(dir, "control.sock"))
	until := func(what string, is func(status.Status) bool) {
		t.Helper()
		deadline := time.Now().Add(waitLimit)
		for {
			st, err := client.Status(t.Context())
			if err == nil && is(st) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("not within %s: %s: %+v, restarts %v, error %v", waitLimit, what, st.Servers, s.count(), err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	until("a pair", func(st status.Status) bool { return st.Pair != nil })
	current := filepath.Join(dir, "pair/current")
	redistest.Start(t, redistest.Options{Addr: s.master, AuthClients: "yes", Conf: []string{"tls-replication yes"},
		Files: redistest.Files{Cert: filepath.Join(current, "redis.crt"), Key: filepath.Join(current, "redis.key"), CA: filepath.Join(current, "ca.crt")}})
	for _, x := range s.all {
		s.start(x)
	}
	t.Cleanup(func() {
		for _, x := range s.all {
			s.stop(x)
		}
	})
	whole := func() {
		t.Helper()
		deadline := time.Now().Add(waitLimit)
		for _, x := range s.all {
			for !strings.HasPrefix(s.ask(x, "SENTINEL", "CKQUORUM", "m"), "+OK 3 usable") {
				if time.Now().After(deadline) {
					log, _ := os.ReadFile(x.log)
					t.Fatalf("%s: %s\n%s", x.unit, s.ask(x, "SENTINEL", "CKQUORUM", "m"), log)
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	proven := func(st status.Status) bool {
		for _, server := range st.Servers {
			if server.State != status.Proven {
				return false
			}
		}
		return len(st.Servers) == 4
	}
	_, _ = client.Renew(t.Context(), false)
	whole()
	until("all are proven", proven)
	for rotation := range 3 {
		_, _ = client.Renew(t.Context(), true) // a Sentinel is behind when the answer comes
		until("all are restarted", func(st status.Status) bool {
			n := s.count()
			return proven(st) && n == [3]int{rotation + 1, rotation + 1, rotation + 1}
		})
		whole()
	}

	// One is stopped on purpose: it is left alone, and so are the others, which it is missing.
	s.mu.Lock()
	s.stop(s.all[2])
	s.mu.Unlock()
	_, _ = client.Renew(t.Context(), true)
	until("two are held back", func(st status.Status) bool {
		held := 0
		for _, server := range st.Servers[1:3] {
			if server.State == status.Stale && strings.Contains(server.Hint, "cannot spare it") {
				held++
			}
		}
		return held == 2
	})
	if n := s.count(); n != [3]int{3, 3, 3} {
		t.Errorf("restarts while one is away: %v", n)
	}
	// It is back, and one is disabled.
	s.mu.Lock()
	s.all[1].file = "disabled"
	s.start(s.all[2])
	s.mu.Unlock()
	whole()
	_, _ = client.Renew(t.Context(), false)
	until("one is restarted, and one left alone", func(st status.Status) bool {
		return s.count() == [3]int{4, 3, 3} && strings.Contains(st.Servers[2].Hint, "disabled")
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != "" {
		t.Error(s.fault)
	}
}
