package main

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"redis-cert-agent/reload/redistest"
)

// waitLimit bounds every wait for a condition. It is what a machine under heavy
// load may need, not what the program takes.
const waitLimit = 2 * time.Minute

// secret is the password of every redis here, with what a shell, YAML and RESP
// would trip over.
const secret = `it's "se cret" #1 $HOME`

// A host has an agent and a redis, and a relay to the authority.
type host struct {
	t    testing.TB
	dir  string
	name string // the DNS name that certificates are for
	addr string // where redis listens, TLS
	ca   *realCA

	challenges string // the address at which challenges are answered; empty outside of scripts
	caRelay    *relay // to the authority

	redis    *redistest.Server
	pid      int // of redis, when it was started last
	agent    *process
	systemd  *systemdSocket
	caProxy  *caProxy
	pebble   *pebble
	proxy    *redisProxy
	impostor *impostor
	webhook  *webhook
	master   *master
	roots    map[string]*redistest.CA // authorities of this host alone, by what cmdCertificate calls them

	last      *x509.Certificate // what redis showed when it was last looked at
	snapshots map[string]snapshot
	hung      *os.File    // the server of a mount that does not answer
	inside    chan func() // runs what must see the mounts of this host; nil: everything does
}

func newHost(t testing.TB, dir, name string, ca *realCA) *host {
	s := &host{t: t, dir: dir, name: name, addr: reserve(t), ca: ca, snapshots: map[string]snapshot{}, roots: map[string]*redistest.CA{}}
	s.caRelay = newRelay(t, ca.Address)
	t.Cleanup(func() {
		if s.agent != nil {
			s.agent.kill()
		}
	})
	return s
}

func (s *host) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// writeSecrets writes the password files that the default configuration names.
func (s *host) writeSecrets() error {
	return errors.Join(
		os.WriteFile(s.path("provisioner-password"), append(bytes.Clone(s.ca.Password), '\n'), 0o600),
		os.WriteFile(s.path("redis-password"), []byte(secret+"\n"), 0o600),
	)
}

// usualConfig is what most scripts run with. $VARIABLES stand for those of
// the script.
const usualConfig = `issuer:
  step:
    url: $CA_URL
    fingerprint: $CA_PIN
    provisioner: redis
    password_file: $WORK/provisioner-password
names: [$NAME, localhost, 127.0.0.1]
servers:
  - address: $REDIS
    password_file: $WORK/redis-password
directory: $WORK/pair
control: $WORK/control.sock
files: {group: ""}
clock_wait: 0s
`

// usualForeignConfig is that of an agent which leaves the renewal to another
// program.
const usualForeignConfig = `issuer: none
names: [$NAME, localhost, 127.0.0.1]
servers:
  - address: $REDIS
    password_file: $WORK/redis-password
directory: $WORK/pair
control: $WORK/control.sock
files: {group: ""}
paths: {cert: $WORK/tls/redis.crt, key: $WORK/tls/redis.key, ca: $WORK/tls/ca.crt}
`

// do runs f where the mounts of this host are seen.
func (s *host) do(f func()) {
	if s.inside == nil {
		f()
		return
	}
	done := make(chan struct{})
	s.inside <- func() {
		defer close(done)
		f()
	}
	<-done
}

// until waits for ready. It fails when the agent ends meanwhile, if that runs.
func (s *host) until(what string, ready func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(waitLimit)
	var ended <-chan struct{}
	if s.agent != nil {
		ended = s.agent.done
	}
	for {
		var ok bool
		if s.do(func() { ok = ready() }); ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			if s.do(func() { ok = ready() }); ok { // what it did last
				return nil
			}
			return fmt.Errorf("await %s: the agent ended: %s", what, s.agent.cmd.ProcessState)
		case <-limit:
			return fmt.Errorf("await %s: not within %s", what, waitLimit)
		}
	}
}

// logs is what a failed test wants to see.
func (s *host) logs() string {
	text, _ := os.ReadFile(s.path("agent.log"))
	out := "[agent.log]\n" + string(text)
	if s.redis != nil {
		out += "[redis.log]\n" + s.redis.Log()
	}
	return out
}

// A process is an agent in the background. What it prints goes to a file.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// startAgent starts the program with args, its output appended to agent.log.
func (s *host) startAgent(env []string, args ...string) error {
	if s.agent != nil {
		return errors.New("an agent runs already")
	}
	log, err := os.OpenFile(s.path("agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p := &process{cmd: exec.Command("redis-cert-agent", args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = s.dir, log, log
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE")}, env...)
	s.do(func() { err = p.cmd.Start() })
	if err != nil {
		return err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // ProcessState tells
	}()
	s.agent = p
	return nil
}

// wait waits until the agent has ended and returns its exit code; -1 when a
// signal killed it.
func (s *host) wait() (int, error) {
	p := s.agent
	if p == nil {
		return 0, errors.New("no agent runs")
	}
	select {
	case <-p.done:
	case <-time.After(waitLimit):
		return 0, fmt.Errorf("the agent does not end within %s", waitLimit)
	}
	s.agent = nil
	return p.cmd.ProcessState.ExitCode(), nil
}

func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}
