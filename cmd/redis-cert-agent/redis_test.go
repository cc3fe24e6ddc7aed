package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/reload/redistest"
)

// cmdRedis runs the redis-server of this host, TLS on $REDIS and no plaintext
// port, with a password, on the files of the agent:
//
//	redis start [-bare] [-auth yes] [-plain] [-socket] [-acl RULE]... [-conf LINE]... [-files DIR]
//	redis stop
//	redis again       starts it anew, on what is on disk now
//	redis same        it still runs, and is the process that was started
//	redis freeze      it answers no more; redis thaw
//	redis do WORD...  sends a command over the unix socket
//	redis proxy MODE  sets what a proxy at $REDIS_PROXY, before the plaintext port, does:
//	                  honest passes everything on, lying answers OK to CONFIG SET by itself
//	redis impostor    takes its place, with a certificate that nobody here knows
//	redis impostor silent  the impostor was spoken to, and heard nothing after a handshake
func (s *host) cmdRedis(ts *testscript.TestScript, args []string) error {
	switch args[0] {
	case "start":
		return s.startRedis(ts, args[1:])
	case "proxy":
		s.setRedisProxy(ts, args[1])
		return nil
	case "impostor":
		return s.cmdImpostor(args[1:])
	}
	if s.redis == nil {
		return errors.New("no redis was started")
	}
	switch args[0] {
	case "stop":
		s.redis.Stop()
		return nil
	case "again":
		var err error
		s.do(func() { err = s.redis.TryRestart() })
		s.pid = s.redis.PID()
		return err
	case "same":
		if !s.redis.Running() || s.redis.PID() != s.pid {
			return errors.New("redis is another process than before")
		}
		return nil
	case "freeze":
		return syscall.Kill(s.pid, syscall.SIGSTOP)
	case "thaw":
		return syscall.Kill(s.pid, syscall.SIGCONT)
	case "do":
		return s.command(ts, args[1:])
	}
	return fmt.Errorf("redis %s: no such subcommand", args[0])
}

func (s *host) startRedis(ts *testscript.TestScript, args []string) error {
	o := redistest.Options{Addr: s.addr, Password: secret}
	dir := "pair/current"
	list := func(to *[]string) func(string) error {
		return func(v string) error {
			*to = append(*to, v)
			return nil
		}
	}
	_, err := flags(args, func(f *flag.FlagSet) {
		f.StringVar(&o.AuthClients, "auth", "no", "tls-auth-clients")
		f.StringVar(&dir, "files", dir, "directory of the files")
		f.Func("acl", "a user", list(&o.ACL))
		f.Func("conf", "a line of redis.conf", list(&o.Conf))
		f.BoolVar(&o.NoTLS, "bare", false, "no TLS, and a plaintext port at $REDIS_PLAIN; $REDIS_CONF is its redis.conf")
		f.BoolFunc("plain", "listen on $REDIS_PLAIN", func(string) error {
			_, port, err := net.SplitHostPort(ts.Getenv("REDIS_PLAIN"))
			o.Conf = append(o.Conf, "port "+port)
			return err
		})
		f.BoolFunc("socket", "listen on $REDIS_SOCKET", func(string) error {
			o.Conf = append(o.Conf, "unixsocket "+ts.Getenv("REDIS_SOCKET"))
			return nil
		})
	})
	if err != nil {
		return err
	}
	o.Files = redistest.Files{Cert: ts.MkAbs(dir + "/redis.crt"), Key: ts.MkAbs(dir + "/redis.key"), CA: ts.MkAbs(dir + "/ca.crt")}
	s.do(func() { s.redis = redistest.Start(s.t, o) })
	if s.redis == nil {
		return errors.New("redis does not start")
	}
	s.pid = s.redis.PID()
	if o.NoTLS {
		ts.Setenv("REDIS_PLAIN", s.redis.PlainAddr)
		ts.Setenv("REDIS_CONF", filepath.Join(s.redis.Dir, "redis.conf"))
	}
	return nil
}

func (s *host) command(ts *testscript.TestScript, words []string) error {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: ts.Getenv("REDIS_SOCKET"), Password: secret})
	defer c.Close()
	command := make([]any, len(words))
	for i, w := range words {
		command[i] = w
	}
	return c.Do(context.Background(), command...).Err()
}

// setRedisProxy sets what the proxy before the plaintext port does.
func (s *host) setRedisProxy(ts *testscript.TestScript, mode string) {
	if s.proxy == nil {
		s.proxy = newRedisProxy(s.t, ts.Getenv("REDIS_PLAIN"))
		ts.Setenv("REDIS_PROXY", s.proxy.Addr)
	}
	s.proxy.lies.Store(mode == "lying")
}

type redisProxy struct {
	*redistest.Proxy
	lies atomic.Bool
}

func newRedisProxy(t testing.TB, to string) *redisProxy {
	p := new(redisProxy)
	p.Proxy = redistest.StartProxy(t, redistest.ProxyOptions{Upstream: to, Handle: func(command []string) (string, bool) {
		if p.lies.Load() {
			return redistest.LyingOK(command)
		}
		return "", false
	}})
	return p
}

// cmdImpostor starts an impostor at the address of redis, or checks what it heard.
func (s *host) cmdImpostor(args []string) error {
	if len(args) == 0 {
		var err error
		s.impostor, err = newImpostor(s.t, s.addr, s.name)
		return err
	}
	if err := s.until("a handshake with the impostor", func() bool { return s.impostor.handshakes.Load() > 0 }); err != nil {
		return err
	}
	s.impostor.stop()
	if heard := s.impostor.text(); heard != "" {
		return fmt.Errorf("the impostor heard %q", heard)
	}
	return nil
}

// An impostor shows a certificate of its own with the right names, and keeps
// all that it hears once a handshake has ended.
type impostor struct {
	listener   net.Listener
	handshakes atomic.Int64 // also those that the other side broke off
	running    sync.WaitGroup

	mu    sync.Mutex
	heard []byte
	conns []net.Conn
}

func newImpostor(t testing.TB, addr, name string) (*impostor, error) {
	shown := redistest.NewRoot(t).Issue(t, redistest.Leaf{Names: []string{name, "localhost", "127.0.0.1"}})
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	i := &impostor{listener: l}
	t.Cleanup(i.stop)
	conf := &tls.Config{Certificates: []tls.Certificate{*shown.TLS()}, ClientAuth: tls.RequestClientCert}
	i.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // stopped
			}
			i.running.Go(func() { i.listen(tls.Server(conn, conf)) })
		}
	})
	return i, nil
}

func (i *impostor) listen(conn *tls.Conn) {
	i.mu.Lock()
	i.conns = append(i.conns, conn)
	i.mu.Unlock()
	defer conn.Close()
	err := conn.Handshake()
	i.handshakes.Add(1)
	if err != nil {
		return
	}
	text, _ := io.ReadAll(conn)
	i.mu.Lock()
	i.heard = append(i.heard, text...)
	i.mu.Unlock()
}

func (i *impostor) text() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return string(i.heard)
}

func (i *impostor) stop() {
	i.listener.Close()
	i.mu.Lock()
	for _, c := range i.conns {
		c.Close()
	}
	i.mu.Unlock()
	i.running.Wait()
}
