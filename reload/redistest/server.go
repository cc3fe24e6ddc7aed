package redistest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Options say how a redis-server is started. The zero value is a server that
// speaks TLS only (port 0), with a fresh pair of a fresh root, without a
// password, and without asking for client certificates.
type Options struct {
	Files       Files    // what redis.conf names; empty: a fresh pair in the server's directory
	NoTLS       bool     // no TLS port; Addr is empty
	Addr        string   // of the TLS port, 127.0.0.1:port; empty: a free one
	Plain       bool     // a plaintext port beside the TLS port
	Socket      bool     // a unix socket too
	Password    string   // requirepass
	ACL         []string // "agent on >secret +config|get": each a user line of redis.conf
	AuthClients string   // tls-auth-clients: "no" (default), "optional", "yes"
	Conf        []string // further lines of redis.conf, last
	Binary      string   // default: $REDIS_SERVER, else redis-server from the PATH
}

// Server is one running redis-server.
type Server struct {
	Addr      string // of the TLS port, 127.0.0.1:port
	PlainAddr string // of the plaintext port; empty without Options.Plain
	Socket    string // path of the unix socket; empty without Options.Socket
	Dir       string // its working directory, with redis.conf and redis.log
	Files     Files  // what its redis.conf names
	CA        *CA    // who issued Files; nil when the test brought its own files

	t      testing.TB
	opts   Options
	binary string
	cmd    *exec.Cmd
	exited chan struct{}
}

// portTries bounds how often a server looks for other ports when somebody took
// the ones it was about to listen on.
const portTries = 10

// Start starts a redis-server and returns when it accepts connections. It ends
// with the test. A missing binary fails the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	// Not t.TempDir: the path of a unix socket has at most 107 bytes.
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{t: t, Dir: dir, Files: o.Files, opts: o, binary: findBinary(t, o.Binary)}
	if !o.NoTLS && s.Files == (Files{}) {
		s.CA = NewRoot(t)
		s.Files = s.CA.Issue(t, Leaf{}).Write(t, dir)
	}
	if o.Socket {
		s.Socket = filepath.Join(dir, "redis.sock")
	}
	t.Cleanup(s.Stop)
	for range portTries {
		s.pickPorts()
		err = s.launch()
		if err == nil {
			return s
		}
		if !strings.Contains(s.Log(), "Address already in use") {
			break
		}
	}
	t.Fatalf("redistest: %v\n%s", err, s.Log())
	return nil
}

func findBinary(t testing.TB, name string) string {
	t.Helper()
	if name == "" {
		name = os.Getenv("REDIS_SERVER")
	}
	if name == "" {
		name = "redis-server"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("redistest: %v: install it (apt install redis-server, dnf install redis), or name another in REDIS_SERVER", err)
	}
	return path
}

// PID is the server's process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Running says whether the process still lives.
func (s *Server) Running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Log is what the server wrote to its log so far.
func (s *Server) Log() string {
	data, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Stop kills the server and waits until it is gone. It may be called again.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	// The only error is that the process has already ended.
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// Restart stops the server and starts it anew on the same ports and files.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	if err := s.launch(); err != nil {
		s.t.Fatalf("redistest: restart: %v\n%s", err, s.Log())
	}
}

// TryRestart is Restart for tests that ask whether the server starts at all on
// what is on disk. The error holds the log.
func (s *Server) TryRestart() error {
	s.Stop()
	if err := s.launch(); err != nil {
		return fmt.Errorf("%w\n%s", err, s.Log())
	}
	return nil
}

func (s *Server) logPath() string { return filepath.Join(s.Dir, "redis.log") }

func (s *Server) pickPorts() {
	s.t.Helper()
	if !s.opts.NoTLS {
		if s.Addr = s.opts.Addr; s.Addr == "" {
			s.Addr = FreeAddr(s.t)
		}
	}
	switch {
	case s.opts.NoTLS && !s.opts.Socket:
		s.PlainAddr = freeBeside(s.t)
	case s.opts.Plain:
		s.PlainAddr = FreeAddr(s.t)
	}
}

// freeBeside is a free loopback address whose next port is free as well, for a server that
// gets TLS later. Both lie below the ports that the kernel gives to outgoing connections,
// which could take the next one meanwhile.
func freeBeside(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 12000+2*rand.IntN(9000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		next, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port+1))
		l.Close()
		if err == nil {
			next.Close()
			return addr
		}
	}
	t.Fatal("redistest: no two free ports beside each other")
	return ""
}

// FreeAddr is a loopback address on which nothing listened a moment ago.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *Server) launch() error {
	s.t.Helper()
	conf := filepath.Join(s.Dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(s.config()), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(s.logPath(), nil, 0o600); err != nil {
		return err
	}
	cmd := exec.Command(s.binary, conf)
	cmd.Dir = s.Dir
	var output bytes.Buffer // what it says before it opens its log
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.cmd, s.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	if err := s.ready(); err != nil {
		s.Stop()
		return fmt.Errorf("%s: %w: %s", s.binary, err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}

// ready waits until the server says so and every listener takes a connection.
// The connection alone could be answered by whoever else took the port.
func (s *Server) ready() error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for {
		if strings.Contains(s.Log(), "Server initialized") && s.accepts() {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("ended before it was ready")
		case <-deadline:
			return fmt.Errorf("not ready after 15 s")
		case <-tick.C:
		}
	}
}

func (s *Server) accepts() bool {
	for network, addrs := range map[string][]string{"tcp": {s.Addr, s.PlainAddr}, "unix": {s.Socket}} {
		for _, addr := range addrs {
			if addr == "" {
				continue
			}
			conn, err := net.DialTimeout(network, addr, time.Second)
			if err != nil {
				return false
			}
			conn.Close()
		}
	}
	return true
}

func (s *Server) config() string {
	o := s.opts
	lines := []string{
		"bind 127.0.0.1", "daemonize no", `save ""`, "appendonly no",
		"dir " + s.Dir, "logfile " + s.logPath(),
		"port " + port(s.PlainAddr),
	}
	if !o.NoTLS {
		lines = append(lines, "tls-port "+port(s.Addr), "tls-cert-file "+s.Files.Cert, "tls-key-file "+s.Files.Key)
		if s.Files.CA != "" {
			lines = append(lines, "tls-ca-cert-file "+s.Files.CA)
		}
		auth := o.AuthClients
		if auth == "" {
			auth = "no"
		}
		lines = append(lines, "tls-auth-clients "+auth)
	}
	if o.Socket {
		lines = append(lines, "unixsocket "+s.Socket)
	}
	if o.Password != "" {
		lines = append(lines, "requirepass "+strconv.Quote(o.Password))
	}
	for _, user := range o.ACL {
		lines = append(lines, "user "+user)
	}
	return strings.Join(append(lines, o.Conf...), "\n") + "\n"
}

func port(addr string) string {
	if addr == "" {
		return "0"
	}
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		panic(err) // FreeAddr made it
	}
	return p
}
