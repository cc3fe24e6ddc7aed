package discover

import (
	"cmp"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Settings are what a configuration says, with the defaults of Redis.
type Settings struct {
	Port, TLSPort int      // 0: none
	Bind          []string // as written; none: every interface
	Socket        string   // of plaintext commands; empty: none

	Cert, Key, CA string // absolute paths where dir is known; empty: none
	AuthClients   string // yes, no, optional

	ClientCert, ClientKey string // what it presents to others in place of Cert and Key; empty: those
	PeerName              string // tls-expected-peer-name; empty: any

	TLSReplication, TLSCluster bool
	ClusterPort                int    // of the bus; 0: 10000 above that of the server
	Nodes                      string // where a node of a cluster keeps what it knows of the others, an absolute path where dir is known
	Cluster, Sentinel          bool
	Master                     string // host:port of whom it replicates; empty: it is a master
	Password                   bool   // requirepass is set
	AutoReload                 string // tls-auto-reload-interval of Valkey, seconds; empty: none
	Version                    string // redis_version, where the server was asked; empty: not known
}

// value is one directive, the last of its name.
type values map[string][]string

// known are the directives that matter here. "sentinel" alone makes a Sentinel.
var known = []string{
	"port", "tls-port", "bind", "unixsocket", "dir", "tls-cert-file", "tls-key-file", "tls-ca-cert-file",
	"tls-auth-clients", "tls-replication", "tls-cluster", "cluster-enabled", "replicaof", "slaveof", "requirepass",
	"sentinel", "tls-auto-reload-interval",
	"tls-client-cert-file", "tls-client-key-file", "tls-expected-peer-name", "cluster-port", "cluster-config-file",
}

// settings reads what the directives mean. Cwd is where the server started, from
// which a relative dir counts; empty: not known.
func (v values) settings(cwd string) Settings {
	_, sentinel := v["sentinel"]
	dir := resolve(cwd, v.first("dir"))
	s := Settings{
		Port: number(v.first("port"), 6379), TLSPort: number(v.first("tls-port"), 0),
		Bind: v["bind"], Socket: v.first("unixsocket"),
		Cert: resolve(dir, v.first("tls-cert-file")), Key: resolve(dir, v.first("tls-key-file")), CA: resolve(dir, v.first("tls-ca-cert-file")),
		AuthClients:    cmp.Or(strings.ToLower(v.first("tls-auth-clients")), "yes"),
		TLSReplication: v.yes("tls-replication"), TLSCluster: v.yes("tls-cluster"), Cluster: v.yes("cluster-enabled"),
		Sentinel: sentinel, Password: v.first("requirepass") != "",
	}
	s.PeerName, s.ClusterPort = v.first("tls-expected-peer-name"), number(v.first("cluster-port"), 0)
	s.Nodes = resolve(dir, cmp.Or(v.first("cluster-config-file"), "nodes.conf"))
	if cert, key := v.first("tls-client-cert-file"), v.first("tls-client-key-file"); cert != "" && key != "" { // of one alone it takes no notice
		s.ClientCert, s.ClientKey = resolve(dir, cert), resolve(dir, key)
	}
	if sentinel && v["port"] == nil {
		s.Port = 26379
	}
	if m := slices.Concat(v["replicaof"], v["slaveof"]); len(m) >= 2 && !strings.EqualFold(m[0]+m[1], "noone") {
		s.Master = net.JoinHostPort(m[0], m[1])
	}
	if n := v.first("tls-auto-reload-interval"); n != "0" {
		s.AutoReload = n
	}
	return s
}

func (v values) first(name string) string {
	if args := v[name]; len(args) > 0 {
		return args[0]
	}
	return ""
}

func (v values) yes(name string) bool { return strings.EqualFold(v.first(name), "yes") }

func number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 65535 {
		return otherwise
	}
	return n
}

// resolve returns a path as a process in dir means it. Redis changes to its dir
// before it loads its files.
func resolve(dir, path string) string {
	if path == "" || dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// Address is where this host reaches the TLS port; empty where there is none.
func (s Settings) Address() string { return s.reach(s.TLSPort) }

// PlainAddress is where this host reaches the plaintext port; empty where there is
// none.
func (s Settings) PlainAddress() string { return s.reach(s.Port) }

// reach prefers loopback, which no firewall and no change of address touches.
func (s Settings) reach(port int) string {
	if port == 0 {
		return ""
	}
	host := "127.0.0.1"
	for i, b := range s.Bind {
		switch b = strings.TrimPrefix(b, "-"); { // "-": no failure where the host has no such address
		case b == "*" || b == "0.0.0.0" || strings.HasPrefix(b, "127."):
			if b != "*" && b != "0.0.0.0" {
				host = b
			} else {
				host = "127.0.0.1"
			}
			return net.JoinHostPort(host, strconv.Itoa(port))
		case b == "::*" || b == "::" || b == "::1":
			b = "::1"
			fallthrough
		default:
			if i == 0 || b == "::1" {
				host = b
			}
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Role says what kind of server it is, for people.
func (s Settings) Role() string {
	switch {
	case s.Sentinel:
		return "Sentinel"
	case s.Master != "":
		return "replica of " + s.Master
	case s.Cluster:
		return "cluster node"
	}
	return "master"
}
