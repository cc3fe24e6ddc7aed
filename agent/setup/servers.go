package setup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/reload"
)

// A found server is one that the pair is for.
type found struct {
	discover.Server
	address string // of TLS, now or when the plan is done
	plain   bool   // it serves no TLS yet
	unasked error  // why it does not say what it has
	control string // by which it is reached without TLS; empty: by none
}

// choose returns the servers that a person named, or those of this host.
func choose(ctx context.Context, o Options, places discover.Places) ([]found, error) {
	here := places.Find()
	candidates := slices.DeleteFunc(here.Servers, func(s discover.Server) bool {
		return s.Sentinel || s.Running != nil && s.Running.Elsewhere || len(o.Servers) > 0 && !mayBe(s, o.Servers)
	})
	asked := make([]found, len(candidates))
	var asking sync.WaitGroup
	for i, s := range candidates {
		asking.Go(func() { asked[i] = now(ctx, o, s) })
	}
	asking.Wait()
	if len(o.Servers) == 0 && slices.ContainsFunc(asked, runs) { // a file of a server that does not run is not meant
		asked = slices.DeleteFunc(asked, func(f found) bool { return !runs(f) })
	}
	servers := slices.DeleteFunc(asked, func(f found) bool {
		return len(o.Servers) > 0 && !slices.Contains(o.Servers, f.address) && !slices.Contains(o.Servers, f.PlainAddress())
	})
	known := func(address string) bool {
		return slices.ContainsFunc(servers, func(f found) bool { return f.address == address || f.PlainAddress() == address })
	}
	for _, address := range o.Servers {
		if !known(address) {
			servers = append(servers, found{address: address})
		}
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("there is no redis-server on this host%s: install it first, or name one with --server HOST:PORT", here.Unseen())
	}
	return servers, nil
}

func runs(f found) bool { return f.Running != nil }

// mayBe says whether a server could be one of those at addresses: another one is not asked.
func mayBe(s discover.Server, addresses []string) bool {
	ports := []int{s.Port, s.TLSPort}
	if s.Running != nil {
		ports = append(ports, s.Running.Ports...)
	}
	return slices.ContainsFunc(addresses, func(a string) bool {
		_, port, _ := net.SplitHostPort(a)
		n, err := strconv.Atoi(port)
		return err == nil && slices.Contains(ports, n)
	})
}

// now returns what holds for a server: by what it answers over its plaintext port or
// socket, or else by its configuration, or else by what it shows.
func now(ctx context.Context, o Options, s discover.Server) found {
	f := found{Server: s, control: s.Without("").Control}
	if plain := s.PlainAddress(); f.control == "" && strings.HasPrefix(plain, "127.") {
		f.control = "plain:" + plain
	}
	asked := false
	if s.Running != nil && f.control != "" {
		way := reload.DefaultServer()
		way.Address, way.Control, way.Password = s.PlainAddress(), f.control, given(o.RedisPassword)
		holds, err := s.Ask(ctx, way, reload.Trust{})
		if f.unasked = err; err == nil {
			f.Server, asked = holds, true
		}
	}
	f.address = f.Address()
	if f.address == "" && !asked && s.Conf == "" && f.Running != nil {
		f.address = discover.SpeaksTLS(ctx, f.Candidates(), reload.DefaultTimeout)
	}
	if f.plain = f.address == ""; f.plain {
		f.address = tlsAddress(f.Server, o.TLSPort)
	}
	return f
}

// tlsAddress is where a server that has no TLS is to serve it.
func tlsAddress(s discover.Server, port int) string {
	host, plain, err := net.SplitHostPort(s.PlainAddress())
	if err != nil { // it has a unix socket only
		host, plain = "127.0.0.1", "6379"
	}
	if n, err := strconv.Atoi(plain); port == 0 && err == nil {
		port = n + 1
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// inUse returns the files that the servers load already; empty: they are to load the
// agent's own.
func inUse(servers []found) (p pair.Paths, err error) {
	for _, s := range servers {
		if s.plain || s.Cert == "" {
			continue
		}
		files := pair.Paths{Cert: s.Cert, Key: s.Key, CA: s.CA}
		if p.Cert != "" && p != files {
			return p, fmt.Errorf("the servers load different files, %s and %s: set up one after the other, each with --server and with --config /etc/redis-cert-agent/NAME.yaml", p.Cert, s.Cert)
		}
		p = files
	}
	return p, nil
}

// group is the one that reads the pair: that of the user whose process serves it.
func group(servers []found) string {
	for _, s := range servers {
		if s.Running == nil {
			continue
		}
		u, err := user.LookupId(strconv.Itoa(s.Running.UID))
		if err != nil {
			continue
		}
		if g, err := user.LookupGroupId(u.Gid); err == nil && g.Name != "root" {
			return g.Name
		}
	}
	return "redis"
}

// dedicated says in which directory the files of a pair are, and why the agent cannot have
// it to itself: it replaces the files there by links, and therefore owns the directory.
func dedicated(p pair.Paths, servers []found) (dir string, err error) {
	dir = filepath.Dir(p.Cert)
	for _, other := range []string{p.Key, p.CA} {
		if other != "" && filepath.Dir(other) != dir {
			return "", fmt.Errorf("%s and %s are in two directories", p.Cert, other)
		}
	}
	shared := []string{"/", "/etc", "/etc/redis", "/etc/valkey", "/var/lib/redis", "/var/lib/valkey", "/etc/ssl", "/etc/ssl/certs", "/etc/ssl/private", "/etc/pki/tls", "/etc/pki/tls/certs", "/etc/pki/tls/private", "/root"}
	for _, s := range servers {
		shared = append(shared, filepath.Dir(s.Conf))
	}
	if slices.Contains(shared, dir) {
		return "", fmt.Errorf("%s holds more than the pair, and the agent cannot own it", dir)
	}
	if strings.HasPrefix(dir, "/etc/letsencrypt/") {
		return "", errors.New("the files are certbot's own: with issuer: none the agent loads and proves what certbot renews (docs/setup.md)")
	}
	return dir, nil
}
