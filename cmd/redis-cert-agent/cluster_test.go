package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/check"
)

// TestCluster rotates the six nodes of a cluster under load, and cuts every connection
// between them when they have new certificates.
func TestCluster(t *testing.T) {
	t.Parallel()
	conf := linkTLS(t)
	var nodes []*node
	for i := range 6 {
		addr, bus := reserveNode(t)
		// A node that is slow on a busy machine is no failure.
		n := newNode(t, fmt.Sprintf("cluster%d.internal", i), addr, conf, "cluster-enabled yes", "tls-cluster yes", "cluster-node-timeout 60000")
		n.bus = bus
		nodes = append(nodes, n)
	}
	meet(t, nodes)
	work := startWork(t, conf, 4, func(w *worker) error {
		key := "k" + strconv.Itoa(rand.IntN(1000))
		_, err := w.at(nodes[rand.IntN(3)].addr, "INCR", key)
		return err
	})
	rotateAll(t, nodes)

	for _, n := range nodes {
		n.killLinks()
	}
	before := busConnections(t, nodes)
	if len(before) == 0 {
		t.Fatal("no connection of the bus was found")
	}
	for _, c := range before {
		c.cut(t)
	}
	last := nodes[5]
	last.must(last.until("the bus, connected anew", func() bool { return anew(nodes, before) }))
	last.must(last.until("the links of the replicas", func() bool {
		return !slices.ContainsFunc(nodes[3:], func(n *node) bool { return !n.linked() })
	}))
	for _, n := range nodes {
		if state := n.info("CLUSTER", "INFO")["cluster_state"]; state != "ok" {
			t.Errorf("%s: cluster_state:%s", n.name, state)
		}
		if list := n.do("CLUSTER", "NODES").(string); strings.Contains(list, "fail") || strings.Contains(list, "disconnected") {
			t.Errorf("%s:\n%s", n.name, list)
		}
	}
	work.judge()
	for _, n := range nodes {
		n.quiet()
	}
	checkLinks(t, nodes)
	t.Logf("%d connections of the bus were cut", len(before))
}

// checkLinks holds what check finds out, which reads the nodes' own files, against the cluster.
func checkLinks(t *testing.T, nodes []*node) {
	t.Helper()
	for i, n := range nodes {
		var want []string
		for _, other := range nodes {
			if other != n {
				want = append(want, "OK a connection to the bus of "+other.bus+", as it would make it again, succeeds")
			}
		}
		if i >= 3 {
			want = append(want, "OK a connection to its master "+nodes[i-3].addr+", as it would make it again, succeeds")
		}
		r, _ := checkHost(t, hostOf(t, n.redis.Dir+"/*.conf", n.redis))
		got := foundIn(r, n.addr, check.CodeLink)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: check says\n%q, want\n%q", n.name, got, want)
		}
	}
}

// meet makes a cluster of three masters, with the slots in equal parts, and a replica of
// each.
func meet(t *testing.T, nodes []*node) {
	t.Helper()
	const slots = 16384
	for i, n := range nodes {
		n.do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < 3 {
			words := []any{"CLUSTER", "ADDSLOTS"}
			for s := slots * i / 3; s < slots*(i+1)/3; s++ {
				words = append(words, s)
			}
			n.do(words...)
		}
		if i > 0 {
			host, port, _ := net.SplitHostPort(n.addr)
			nodes[0].do("CLUSTER", "MEET", host, port)
		}
	}
	know := func(n *node) bool {
		i := n.info("CLUSTER", "INFO")
		return i["cluster_known_nodes"] == "6" && i["cluster_state"] == "ok" && !strings.Contains(n.do("CLUSTER", "NODES").(string), "handshake")
	}
	for _, n := range nodes {
		n.must(n.until("the cluster", func() bool { return know(n) }))
	}
	for i, n := range nodes[3:] {
		n.do("CLUSTER", "REPLICATE", nodes[i].do("CLUSTER", "MYID"))
		n.must(n.until("the link to its master", n.linked))
	}
}

// A connection is one end of a TCP connection of the bus.
type connection struct {
	pid, fd   int
	ends      string // local and remote, as the kernel writes them
	outgoing  bool
	node, bus string // whose end, and the address of the bus
}

// busConnections are the ends of connections of the bus that the nodes hold, as the kernel
// tells.
func busConnections(t *testing.T, nodes []*node) (all []connection) {
	t.Helper()
	buses := map[string]string{}
	for _, n := range nodes {
		buses[hexPort(n.bus)] = n.bus
	}
	for _, n := range nodes {
		pid := n.redis.PID()
		sockets := establishedSockets(t, pid)
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range names {
			link, _ := os.Readlink(filepath.Join(dir, f.Name())) // it may be closed by now
			ends, ok := sockets[link]
			if !ok {
				continue
			}
			local, remote, _ := strings.Cut(ends, " ")
			fd, _ := strconv.Atoi(f.Name())
			c := connection{pid: pid, fd: fd, ends: ends, node: n.name}
			if c.bus = buses[local[len(local)-4:]]; c.bus == "" {
				c.bus, c.outgoing = buses[remote[len(remote)-4:]], true
			}
			if c.bus != "" {
				all = append(all, c)
			}
		}
	}
	return all
}

func hexPort(addr string) string { return fmt.Sprintf("%04X", netip.MustParseAddrPort(addr).Port()) }

// establishedSockets reads "socket:[inode]" and the two ends of each established
// connection: proc(5), /proc/net/tcp, where the state 01 is TCP_ESTABLISHED.
func establishedSockets(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 9 && f[3] == "01" {
			found["socket:["+f[9]+"]"] = f[1] + " " + f[2]
		}
	}
	return found
}

// cut ends a connection of another process, as a network that breaks does: its descriptor
// is taken by pidfd_getfd(2), and both directions are shut down.
func (c connection) cut(t *testing.T) {
	t.Helper()
	pid, err := unix.PidfdOpen(c.pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pid)
	fd, err := unix.PidfdGetfd(pid, c.fd, 0)
	if errors.Is(err, unix.EBADF) {
		return // the other end was cut, and redis has closed this one
	} else if err != nil {
		t.Fatalf("pidfd_getfd: %v", err)
	}
	defer unix.Close(fd)
	if ends(fd) == c.ends { // else redis has closed it, and another connection has its number
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // ENOTCONN: the other end was cut
	}
}

// ends returns local and remote end of a socket as /proc/net/tcp writes them; empty: it has
// none any more.
func ends(fd int) string {
	var text []string
	for _, ask := range []func(int) (unix.Sockaddr, error){unix.Getsockname, unix.Getpeername} {
		at, err := ask(fd)
		in, ok := at.(*unix.SockaddrInet4)
		if err != nil || !ok {
			return ""
		}
		// The address is written in the order of the machine.
		text = append(text, fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(in.Addr[:]), in.Port))
	}
	return strings.Join(text, " ")
}

// anew says whether each node is connected to the bus of each other, by a connection
// that was not there before, and hears from each on another.
func anew(nodes []*node, before []connection) bool {
	t := nodes[0].t.(*testing.T)
	for _, n := range nodes {
		heard, err := n.admin.Do(t.Context(), "CLUSTER", "LINKS").Slice()
		if err != nil { // Redis before 7.0
			continue
		}
		for _, d := range []string{"to", "from"} {
			peers := map[string]bool{}
			for _, l := range heard {
				if f := l.([]any); f[1] == d {
					peers[f[3].(string)] = true
				}
			}
			if len(peers) != len(nodes)-1 {
				return false
			}
		}
	}
	now := busConnections(t, nodes)
	for _, n := range nodes {
		to := map[string]bool{}
		for _, c := range now {
			if slices.ContainsFunc(before, func(b connection) bool { return b.ends == c.ends }) {
				return false
			}
			if c.outgoing && c.node == n.name {
				to[c.bus] = true
			}
		}
		if len(to) != len(nodes)-1 {
			return false
		}
	}
	return true
}
