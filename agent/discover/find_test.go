package discover

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// A host has these processes, and these files.
func host(t *testing.T, confs string, pids ...int) Places {
	t.Helper()
	proc, err := os.MkdirTemp("", "proc") // not t.TempDir, into which no other user can look
	if err == nil {
		err = os.Chmod(proc, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(proc) })
	for name, to := range map[string]string{"self": "/proc/self", "1": "/proc/1"} {
		if err := os.Symlink(to, filepath.Join(proc, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, pid := range pids {
		id := strconv.Itoa(pid)
		if err := os.Symlink("/proc/"+id, filepath.Join(proc, id)); err != nil {
			t.Fatal(err)
		}
	}
	return Places{Proc: proc, Confs: []string{confs}}
}

func only(t *testing.T, f Found) Server {
	t.Helper()
	if len(f.Servers) != 1 || len(f.Hidden) > 0 {
		t.Fatalf("%+v", f)
	}
	return f.Servers[0]
}

// A running server and its file belong together by what its title says; what is set
// while it runs is found by asking.
func TestFindRunning(t *testing.T) {
	s := redistest.Start(t, redistest.Options{Socket: true, AuthClients: "optional", Password: "hunter2"})
	got := only(t, host(t, s.Dir+"/*.conf", s.PID()).Find())
	if got.Running == nil || got.Running.PID != s.PID() || got.Running.UID != os.Geteuid() || got.Running.Program != "redis-server" {
		t.Fatalf("%+v", got.Running)
	}
	if got.Address() != s.Addr || got.Conf != s.Dir+"/redis.conf" || got.Cert != s.Files.Cert || got.Key != s.Files.Key || got.CA != s.Files.CA ||
		got.Socket != s.Socket || got.AuthClients != "optional" || !got.Password || got.Sentinel || got.Role() != "master" {
		t.Errorf("%+v", got)
	}
	if _, port, _ := strings.Cut(s.Addr, ":"); len(got.Running.Ports) != 1 || strconv.Itoa(got.Running.Ports[0]) != port {
		t.Errorf("it listens on %v, want %s", got.Running.Ports, port)
	}
	if _, err := got.Ask(context.Background(), got.Without(s.Addr), reload.Trust{}); err == nil {
		t.Error("it answered without its password")
	}
}

func TestFileAndMemoryDiffer(t *testing.T) {
	s := redistest.Start(t, redistest.Options{Socket: true})
	other := s.CA.Issue(t, redistest.Leaf{}).Write(t, t.TempDir())
	command(t, s, "CONFIG", "SET", "tls-cert-file", other.Cert, "tls-key-file", other.Key)
	command(t, s, "CONFIG", "SET", "tls-auth-clients", "optional")
	found := only(t, host(t, s.Dir+"/*.conf", s.PID()).Find())
	overTLS := reload.DefaultServer()
	overTLS.Address, overTLS.Name = s.Addr, "127.0.0.1"
	for name, via := range map[string]reload.Server{"unix": found.Without(s.Addr), "tls": overTLS} {
		now, err := found.Ask(context.Background(), via, reload.Trust{Roots: s.CA.Roots()})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if now.Cert != other.Cert || now.Key != other.Key || now.AuthClients != "optional" || now.Address() != s.Addr {
			t.Errorf("%s: %+v", name, now.Settings)
		}
		if len(now.Warnings) != 3 || !strings.Contains(now.Warnings[0], "it runs with tls-cert-file "+other.Cert+", and "+s.Dir+"/redis.conf says "+s.Files.Cert) {
			t.Errorf("%s: %q", name, now.Warnings)
		}
	}
}

// What no file tells is seen by the command line, the title and the ports.
func TestFindWithoutFile(t *testing.T) {
	s := redistest.Start(t, redistest.Options{Plain: true})
	got := only(t, host(t, "/nowhere/*.conf", s.PID()).Find())
	if got.Conf != "" || got.Address() != "" || !slices.Contains(got.Candidates(), s.Addr) || len(got.Candidates()) != 2 {
		t.Errorf("%+v, candidates %v", got, got.Candidates())
	}
}

// With set-proc-title no the command line stays, and what it says comes last.
func TestCommandLineOverridesFile(t *testing.T) {
	pair := redistest.NewRoot(t).Issue(t, redistest.Leaf{}).Write(t, t.TempDir())
	dir := files(t, map[string]string{
		"redis.conf":   "set-proc-title no\nport 0\ntls-port 1\nbind 127.0.0.1\ninclude DIR/tls.d/*.conf\nlogfile DIR/log\nsave \"\"\n",
		"tls.d/a.conf": "tls-cert-file " + pair.Cert + "\ntls-key-file \"" + pair.Key + "\"\n",
	})
	addr := redistest.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	pid := start(t, dir, "redis-server", filepath.Join(dir, "redis.conf"), "--tls-port", port, "--tls-auth-clients", "no", "--tls-ca-cert-file", pair.CA)
	for _, places := range []Places{host(t, dir+"/*.conf", pid), host(t, dir+"/none", pid)} {
		got := only(t, places.Find())
		if got.Address() != addr || got.Cert != pair.Cert || got.Key != pair.Key || got.CA != pair.CA || got.AuthClients != "no" {
			t.Errorf("%+v", got)
		}
	}
}

func TestFindSentinel(t *testing.T) {
	addr := redistest.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	dir := files(t, map[string]string{"sentinel.conf": "port " + port + "\nbind 127.0.0.1\nlogfile DIR/log\nsentinel monitor m 127.0.0.1 1 1\n"})
	pid := start(t, dir, "redis-server", filepath.Join(dir, "sentinel.conf"), "--sentinel")
	got := only(t, host(t, dir+"/*.conf", pid).Find())
	if !got.Sentinel || got.Conf != dir+"/sentinel.conf" || got.Role() != "Sentinel" {
		t.Errorf("%+v", got)
	}
	via := reload.DefaultServer()
	via.Address, via.Control = addr, "plain:"+addr
	if now, err := got.Ask(context.Background(), via, reload.Trust{}); err != nil || !now.Sentinel {
		t.Errorf("%+v, %v", now, err)
	}
}

// Files of servers that do not run, but not those that they include, nor others'.
func TestFindBeforeItRuns(t *testing.T) {
	dir := files(t, map[string]string{
		"a.conf": "tls-port 7000\nport 0\ninclude DIR/tls.conf\n", "tls.conf": "tls-cert-file /a\n", "other.conf": "[section]\nkey = value\n",
		"sentinel.conf": "sentinel monitor m 127.0.0.1 1 1\n", "broken.conf": "tls-port 7001\n'\n",
	})
	f := host(t, dir+"/*.conf").Find()
	if len(f.Servers) != 3 || f.Servers[0].Cert != "/a" || len(f.Servers[1].Warnings) != 1 || f.Servers[2].Port != 26379 {
		t.Errorf("%+v", f)
	}
	if s, err := host(t, "").File(dir + "/a.conf"); err != nil || s.Address() != "127.0.0.1:7000" || s.Running != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// To a user who is not root, another's process shows its title and no more.
func TestFindAsAnotherUser(t *testing.T) {
	s := redistest.Start(t, redistest.Options{})
	places, owner := host(t, s.Dir+"/*.conf", s.PID()), os.Geteuid()
	redistest.AsNobody(t, func() error {
		got := places.Find().Servers
		if unix.Geteuid() == owner {
			return nil // the test runs as that user, from whom nothing of its own is hidden
		}
		if len(got) != 1 || got[0].Running.Exe != "" || got[0].Running.Ports != nil || got[0].Conf != "" || !slices.Equal(got[0].Candidates(), []string{s.Addr}) {
			t.Errorf("%+v", got)
		}
		return nil
	})
}

// Of another user's process the files and ports are closed to all but root, and the
// title tells its address.
func TestFindOfAnotherUser(t *testing.T) {
	for line, want := range map[string]title{
		"/usr/bin/redis-server 127.0.0.1:6379\x00\x00\x00": {bind: "127.0.0.1", port: 6379},
		"redis-server *:26379 [sentinel]\x00":              {bind: "*", port: 26379, sentinel: true},
		"valkey-server ::1:7000 [cluster]":                 {bind: "::1", port: 7000, cluster: true},
		"redis-server unixsocket:/run/redis.sock":          {socket: "/run/redis.sock"},
		"redis-server -::*:6379":                           {bind: "::*", port: 6379},
		"redis-server x:99999":                             {bind: "x"},
		"redis-server\x00/etc/redis/redis.conf\x00":        {},
	} {
		if _, got := commandLine([]byte(line)); got != want {
			t.Errorf("%q: %+v, want %+v", line, got, want)
		}
	}
	proc := files(t, map[string]string{
		"7/comm": "redis-server\n", "7/cmdline": "redis-server 10.0.0.5:6390\x00\x00", "7/status": "Name:\tredis-server\nPPid:\t1\nUid:\t0\t104\t104\t104\n",
		"8/comm": "redis-server\n", "8/cmdline": "redis-rdb-bgsave 10.0.0.5:6390\x00", "8/status": "PPid:\t7\nUid:\t104\t104\t104\t104\n",
		"9/comm": "bash\n", "9/cmdline": "redis-server *:1\x00", "9/status": "PPid:\t1\n",
		"10/comm": "redis-server\n", "10/cmdline": "", "10/status": "PPid:\t1\nUid:\t0\t0\t0\t0\n",
		"11/comm": "redis-server\n", "net/tcp": "nonsense",
		"12/comm": "redis-server\n", "12/cmdline": "redis-server *:6400", "12/status": "PPid:\t1\nUid:\t5\t5\t5\t5\n",
	})
	for name, to := range map[string]string{"self/ns/net": "net:[1]", "7/ns/net": "net:[1]", "12/ns/net": "net:[2]"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(proc, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(proc, name)); err != nil {
			t.Fatal(err)
		}
	}
	own := files(t, map[string]string{"own.conf": "port 6400\n"}) // as the title of the one in a container has it
	f := Places{Proc: proc, Confs: []string{own + "/*"}}.Find()
	if len(f.Servers) != 3 || !f.Servers[1].Running.Elsewhere || f.Servers[1].Conf != "" || f.Servers[0].Running.Elsewhere {
		t.Errorf("a server in a container: %+v", f.Servers)
	}
	if len(f.Servers) != 3 || f.Servers[0].Running.PID != 7 || f.Servers[0].Running.UID != 104 || !slices.Equal(f.Servers[0].Candidates(), []string{"10.0.0.5:6390"}) {
		t.Errorf("%+v", f)
	}
	if !slices.Contains(f.Hidden, "the processes of other users") {
		t.Errorf("%q", f.Hidden)
	}
}

func TestListening(t *testing.T) {
	table := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   104        0 77 1 0 100 0 0 10 0\n" +
		"   1: 0100007F:18EC 0100007F:18EB 01 00000000:00000000 00:00000000 00000000   104        0 77 1 0 100 0 0 10 0\n" +
		"   2: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 78 1 0 100 0 0 10 0\n" +
		"   3: short 0A\n"
	if got := listening(table, map[string]bool{"77": true}); !slices.Equal(got, []int{6379}) {
		t.Error(got)
	}
}

// start starts a server that writes DIR/log, and waits until it is up.
func start(t *testing.T, dir string, args ...string) (pid int) {
	t.Helper()
	path, err := exec.LookPath(args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args[1:]...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		<-tick.C
		log, _ := os.ReadFile(filepath.Join(dir, "log")) // not there yet
		if strings.Contains(string(log), "Ready to accept") || strings.Contains(string(log), "Sentinel ID is") {
			return cmd.Process.Pid
		}
	}
	t.Fatal("it is not ready")
	return 0
}

// command sends a command as an operator does.
func command(t *testing.T, s *redistest.Server, args ...string) {
	t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-e", "-s", s.Socket}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %q: %v\n%s", args, err, out)
	}
}
