package discover

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"redis-cert-agent/agent/disk"
)

// A Node is another node of a cluster, as one of them keeps it in its file.
type Node struct {
	Address string // host:port for clients: that of TLS, where the bus speaks TLS
	Bus     string // host:port
	Master  bool   // the asking one replicates it
}

// maxNodes bounds the file of a cluster's nodes.
const maxNodes = 4 << 20

// BusAddress is where this host reaches the bus; empty where the server is no node.
func (s Settings) BusAddress() string {
	port := s.Port
	if s.TLSCluster {
		port = s.TLSPort
	}
	if !s.Cluster || port == 0 {
		return ""
	}
	const apart = 10000 // CLUSTER_PORT_INCR
	return s.reach(cmp.Or(s.ClusterPort, port+apart))
}

// ClusterNodes reads what the node knows of the others: those that are there, as it sees it.
func (s Settings) ClusterNodes() ([]Node, error) {
	text, _, err := disk.ReadInTime(s.Nodes, maxNodes)
	if err != nil {
		return nil, err
	}
	return nodesIn(string(text)), nil
}

// nodesIn reads lines of CLUSTER NODES, as the file has them as well:
//
//	ID HOST:PORT@BUS[,HOSTNAME][,tls-port=PORT] FLAGS MASTER ...
func nodesIn(text string) (all []Node) {
	var ids []string
	master := ""
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue // "vars currentEpoch 6 lastVoteEpoch 0", or half a line
		}
		flags := strings.Split(f[2], ",")
		if slices.Contains(flags, "myself") {
			master = f[3]
			continue
		}
		at, more, _ := strings.Cut(f[1], ",")
		address, bus, found := strings.Cut(at, "@")
		host, port, err := net.SplitHostPort(bracketed(address))
		away := slices.ContainsFunc(flags, func(flag string) bool { return slices.Contains([]string{"fail", "noaddr", "handshake"}, flag) })
		if !found || err != nil || host == "" || away {
			continue
		}
		for _, aux := range strings.Split(more, ",") {
			if tls, ok := strings.CutPrefix(aux, "tls-port="); ok && number(tls, 0) != 0 {
				port = tls
			}
		}
		if n := number(bus, 0); n != 0 {
			ids = append(ids, f[0])
			all = append(all, Node{Address: net.JoinHostPort(host, port), Bus: net.JoinHostPort(host, strconv.Itoa(n))})
		}
	}
	for i := range all {
		all[i].Master = ids[i] == master
	}
	return all
}

// bracketed puts an IPv6 address, which Redis writes as it is, between brackets.
func bracketed(address string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 || strings.Count(address, ":") == 1 {
		return address
	}
	return "[" + address[:i] + "]" + address[i:]
}
