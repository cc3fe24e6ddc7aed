package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/control"
	"redis-cert-agent/reload/redistest"
)

// rotations is how often each node rotates in the tests of links.
var rotations = flag.Int("rotations", 20, "how often each node of a cluster and of a chain rotates")

// A node is a redis-server with an agent and a pair of its own, which speaks nothing but
// mutual TLS, to its clients and to others of its kind.
type node struct {
	*host
	bus    string        // of a node of a cluster
	admin  *redis.Client // of one connection
	logged int           // what is in the server's log, when its links are about to end
}

// newNode starts the agent, and then the server with the pair that it got.
func newNode(t *testing.T, name, addr string, client *tls.Config, conf ...string) *node {
	t.Helper()
	n := &node{host: newPlainHostAt(t, name, addr)}
	n.must(n.startAgent(nil, "run", "--config", "agent.yaml"))
	n.must(n.until("a pair", func() bool { return n.pairOnDisk() == nil }))
	files := redistest.Files{Cert: n.path("pair/current/redis.crt"), Key: n.path("pair/current/redis.key"), CA: n.path("pair/current/ca.crt")}
	n.redis = redistest.Start(t, redistest.Options{Addr: addr, Password: secret, Files: files, AuthClients: "yes",
		Conf: append(conf, "masterauth "+strconv.Quote(secret), "tls-replication yes", "repl-diskless-sync-delay 0")})
	n.admin = linkClient(addr, client)
	t.Cleanup(func() { n.admin.Close() })
	return n
}

// linkClient makes a client that retries nothing, so that each failure is seen.
func linkClient(addr string, conf *tls.Config) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, Password: secret, TLSConfig: conf, Protocol: 2, DisableIdentity: true,
		PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: waitLimit, ReadTimeout: waitLimit, WriteTimeout: waitLimit,
	})
}

// linkTLS is what a client of the nodes presents and verifies by.
func linkTLS(t testing.TB) *tls.Config {
	t.Helper()
	ca, err := sharedCA()
	if err != nil {
		t.Fatal(err)
	}
	own := ca.intermediate.Issue(t, redistest.Leaf{Names: []string{"client.internal"}}).TLS()
	own.Certificate = append(own.Certificate, ca.intermediate.Cert.Raw)
	return &tls.Config{ServerName: "localhost", RootCAs: cert.Pool([]*x509.Certificate{ca.RootCertificate}), Certificates: []tls.Certificate{*own}}
}

// do sends a command and fails the test where that fails.
func (n *node) do(words ...any) any {
	n.t.Helper()
	answer, err := n.admin.Do(n.t.Context(), words...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		n.t.Fatalf("%s: %v: %v\n%s", n.name, words, err, n.logs())
	}
	return answer
}

// info returns the fields of INFO replication or CLUSTER INFO.
func (n *node) info(words ...any) map[string]string {
	n.t.Helper()
	found := map[string]string{}
	text, _ := n.do(words...).(string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		found[name] = value
	}
	return found
}

// linked says whether the node's link to its master is up.
func (n *node) linked() bool {
	i := n.info("INFO", "replication")
	return i["master_link_status"] == "up" && i["master_sync_in_progress"] == "0"
}

// rotateAll has every node rotate *rotations times, all of them at the same time, and sees
// that each shows the last pair then.
func rotateAll(t *testing.T, nodes []*node) {
	t.Helper()
	start := time.Now()
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() {
			ask := control.Dial(n.path("control.sock"))
			ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
			defer cancel()
			for i := range *rotations {
				if _, err := ask.Renew(ctx, true); err != nil {
					t.Errorf("%s: rotation %d: %v\n%s", n.name, i, err, n.logs())
					return
				}
			}
		})
	}
	all.Wait()
	for _, n := range nodes {
		want, err := readLeaf(n.path("pair/current/redis.crt"))
		n.must(err)
		if !n.shows().Equal(want) {
			t.Errorf("%s does not show the pair on its disk", n.name)
		}
		if issued := n.ca.count(n.name); issued < *rotations {
			t.Errorf("%s got %d certificates, want at least %d", n.name, issued, *rotations)
		}
	}
	t.Logf("%d nodes, %d rotations each, in %s", len(nodes), *rotations, time.Since(start).Round(time.Millisecond))
}

// shows returns the leaf that a client of the node is shown, which presents a certificate
// as all do here: the node's log tells of one that does not.
func (n *node) shows() *x509.Certificate {
	n.t.Helper()
	conn, err := tls.Dial("tcp", n.addr, linkTLS(n.t))
	n.must(err)
	defer conn.Close()
	_, err = io.WriteString(conn, "PING\r\n")
	n.must(err)
	_, err = conn.Read(make([]byte, 1)) // the node has accepted the certificate
	n.must(err)
	return conn.ConnectionState().PeerCertificates[0]
}

// A workload are clients that work all the time. Every command counts, and so does every
// connection: some commands are sent on a new one.
type workload struct {
	t       *testing.T
	conf    *tls.Config
	do      func(w *worker) error
	ctx     context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup

	commands, connections, redirects, failed atomic.Int64
}

// A worker is one of its clients. It keeps one connection to each node.
type worker struct {
	*workload
	clients map[string]*redis.Client
}

func startWork(t *testing.T, conf *tls.Config, workers int, do func(*worker) error) *workload {
	redis.SetLogger(silent{})
	l := &workload{t: t, conf: conf, do: do}
	l.ctx, l.stop = context.WithCancel(context.Background())
	for range workers {
		l.workers.Go((&worker{workload: l, clients: map[string]*redis.Client{}}).run)
	}
	t.Cleanup(l.end)
	return l
}

func (w *worker) run() {
	defer func() {
		for _, c := range w.clients {
			c.Close()
		}
	}()
	for w.ctx.Err() == nil {
		if err := w.do(w); err != nil {
			if n := w.failed.Add(1); n <= 3 {
				w.t.Errorf("a client failed: %v", err)
			}
		}
	}
}

// at sends a command to a node, every tenth on a new connection. It goes where a node of a
// cluster says that the key is, as every client of a cluster does.
func (w *worker) at(addr string, words ...any) (any, error) {
	c := w.clients[addr]
	if c == nil || rand.IntN(10) == 0 {
		if c != nil {
			c.Close()
		}
		c = linkClient(addr, w.conf)
		w.clients[addr] = c
		w.connections.Add(1)
	}
	answer, err := c.Do(context.Background(), words...).Result()
	w.commands.Add(1)
	if err != nil {
		if at, ok := strings.CutPrefix(err.Error(), "MOVED "); ok {
			w.redirects.Add(1)
			_, to, _ := strings.Cut(at, " ")
			return w.at(to, words...)
		}
	}
	return answer, err
}

// end stops the clients.
func (l *workload) end() {
	l.stop()
	l.workers.Wait()
}

// judge stops the clients and fails the test where one of them failed.
func (l *workload) judge() {
	l.t.Helper()
	l.end()
	l.t.Logf("%d commands, %d failed; %d connections, %d redirections", l.commands.Load(), l.failed.Load(), l.connections.Load(), l.redirects.Load())
	if l.failed.Load() != 0 || l.commands.Load() == 0 {
		l.t.Errorf("%d of %d commands failed", l.failed.Load(), l.commands.Load())
	}
}

// TestChainOfReplicas rotates a master, its replica and the replica of that under load, and
// has each link made anew with what the nodes present then.
func TestChainOfReplicas(t *testing.T) {
	t.Parallel()
	conf := linkTLS(t)
	var chain []*node
	for i, name := range []string{"chain-master.internal", "chain-replica.internal", "chain-end.internal"} {
		var of []string
		if i > 0 {
			host, port, err := net.SplitHostPort(chain[i-1].addr)
			if err != nil {
				t.Fatal(err)
			}
			of = []string{"replicaof " + host + " " + port}
		}
		chain = append(chain, newNode(t, name, reserve(t), conf, of...))
	}
	master, end := chain[0], chain[2]
	up := func() bool { return chain[1].linked() && end.linked() }
	end.must(end.until("the links", up))
	work := startWork(t, conf, 3, func(w *worker) error {
		if _, err := w.at(master.addr, "INCR", "n"); err != nil {
			return err
		}
		_, err := w.at(chain[1+rand.IntN(2)].addr, "GET", "n")
		if errors.Is(err, redis.Nil) {
			err = nil
		}
		return err
	})
	rotateAll(t, chain)

	for _, n := range chain {
		n.killLinks()
	}
	end.must(end.until("the links, made anew", func() bool { return up() && connectedAnew(chain) }))
	master.do("SET", "last", "word")
	end.must(end.until("what was written, at the end of the chain", func() bool {
		got, err := end.admin.Get(t.Context(), "last").Result()
		return err == nil && got == "word"
	}))
	work.judge()
	for _, n := range chain {
		n.quiet()
	}
}

// connectedAnew says whether each server but the last lost a replica and has one again.
func connectedAnew(chain []*node) bool {
	return !slices.ContainsFunc(chain[:len(chain)-1], func(n *node) bool {
		return n.info("INFO", "replication")["connected_slaves"] != "1"
	})
}

// killLinks ends the links of replication.
func (n *node) killLinks() {
	n.logged = len(n.redis.Log())
	n.do("CLIENT", "KILL", "TYPE", "replica")
	n.do("CLIENT", "KILL", "TYPE", "master")
}

// quiet fails the test where the server's log tells of TLS since its links were ended: one
// that was refused and made later shows nowhere else. Who has no certificate at all is none
// of the nodes nor of their agents: other tests look at the servers of this host.
func (n *node) quiet() {
	n.t.Helper()
	for line := range strings.Lines(n.redis.Log()[n.logged:]) {
		stranger := strings.HasSuffix(strings.TrimSpace(line), "peer did not return a certificate")
		if (strings.Contains(line, "SSL") || strings.Contains(line, "certificate")) && !stranger {
			n.t.Errorf("%s: %s", n.name, fmt.Sprint(strings.TrimSpace(line)))
		}
	}
}
