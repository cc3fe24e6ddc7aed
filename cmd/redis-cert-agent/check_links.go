package main

import (
	"cmp"
	"fmt"
	"net"
	"strconv"

	"redis-cert-agent/agent/check"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/pair"
)

// maxLinks bounds how many nodes of a cluster one server is tried with.
const maxLinks = 32

// links are the connections that a server of this host makes to others of its kind, each
// tried as it makes them. Cluster nodes stand in a file that root reads, whatever password
// the server wants.
func (o *checkOptions) links(s discover.Server) (all []check.Link) {
	if s.Running == nil || s.Running.Elsewhere || s.TLSPort == 0 || s.Sentinel {
		return nil
	}
	var nodes []discover.Node
	if s.Cluster {
		nodes, _ = s.ClusterNodes() // what is closed to this user is not there for it
	}
	if own := s.BusAddress(); s.Cluster && !s.TLSCluster {
		all = append(all, check.Link{To: "the bus of its cluster", Plain: "tls-cluster no", Bus: true})
	} else if s.Cluster && len(nodes) == 0 {
		all = append(all, check.Link{To: fmt.Sprintf("the bus at %s, its own in place of another node's", own), Address: own, Bus: true})
	} else if s.Cluster {
		for _, n := range nodes[:min(len(nodes), maxLinks)] {
			all = append(all, check.Link{To: "the bus of " + n.Bus, Address: n.Bus, Bus: true})
		}
	}
	master := s.Master
	for _, n := range nodes {
		if n.Master {
			master = n.Address
		}
	}
	if master != "" {
		l := check.Link{To: "its master " + master, Address: master}
		if !s.TLSReplication {
			l.Plain = "tls-replication no"
		}
		all = append(all, l)
	}
	o.dress(s, all)
	return all
}

// dress adds what the server presents and by what it verifies.
func (o *checkOptions) dress(s discover.Server, all []check.Link) {
	files := pair.Paths{Cert: cmp.Or(s.ClientCert, s.Cert), Key: cmp.Or(s.ClientKey, s.Key)}
	own, err := readPair(files)
	untried := ""
	if err != nil {
		untried = fmt.Sprintf("what it presents cannot be read: %v", err)
	}
	roots, err := readCA(s.CA)
	if err != nil && untried == "" {
		untried = fmt.Sprintf("its tls-ca-cert-file cannot be read: %v", err)
	}
	for i := range all {
		all[i].Timeout, all[i].Client, all[i].Roots, all[i].Name, all[i].Untried = o.timeout, own, roots, s.PeerName, untried
	}
}

// at returns which of the servers of this host is meant by an address, of which it may have
// several; nil: none, or it cannot be told.
func at(address string, here []discover.Server) *discover.Server {
	_, port, _ := net.SplitHostPort(address)
	var found *discover.Server
	for i, h := range here {
		switch {
		case h.Address() == address:
			return &here[i]
		case h.TLSPort == 0 || strconv.Itoa(h.TLSPort) != port:
		case found != nil:
			return nil
		default:
			found = &here[i]
		}
	}
	return found
}
