package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/check"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/reload"
)

// host are the redis-servers of this host, for a check of which nothing is said. What
// was found goes to talk.
func (o *checkOptions) host(ctx context.Context, talk io.Writer) ([]check.Target, error) {
	warn, crit, err := o.margins(cert.DefaultMargins())
	if err != nil {
		return nil, err
	}
	trust, err := o.trust()
	if err != nil {
		return nil, err
	}
	found := o.places.Find()
	asked := make([]hostServer, len(found.Servers))
	var asking sync.WaitGroup
	for i, s := range found.Servers {
		asking.Go(func() { asked[i] = o.ask(ctx, s) })
	}
	asking.Wait()
	want := check.Want{Warn: warn, Crit: crit, Trust: trust}
	h := hostTargets{o: o, want: want, seen: map[string]bool{}}
	for _, s := range asked {
		s.tell(talk, o.quiet)
		h.add(s)
	}
	if len(h.all) == 0 {
		return nil, usageError{errors.New("nothing to check: there is no redis-server with TLS on this host" + found.Unseen() + "; name a server as HOST:PORT, a certificate with --file, or write " + o.config)}
	}
	return h.all, nil
}

// A hostServer is a server of this host, as it was found and as it answered.
type hostServer struct {
	discover.Server
	address string // of its TLS port; empty: none
	unasked string // why it did not answer CONFIG GET
}

// ask finds out where a running server speaks TLS, and what holds in its memory. Without
// a password, most will not tell.
func (o *checkOptions) ask(ctx context.Context, s discover.Server) hostServer {
	h := hostServer{Server: s, address: s.Address()}
	if s.Running == nil || s.Running.Elsewhere {
		return h
	}
	var trust reload.Trust
	if roots, err := readCA(s.CA); err == nil {
		trust.Roots = roots
	}
	via := s.Without(h.address)
	via.Timeout = o.timeout
	if now, err := s.Ask(ctx, via, trust); err == nil {
		h.Server, h.address = now, now.Address()
	} else {
		h.unasked = err.Error()
	}
	if h.address == "" {
		h.address = discover.SpeaksTLS(ctx, h.Candidates(), o.timeout)
	}
	return h
}

// tell writes what was found.
func (h hostServer) tell(w io.Writer, quiet bool) {
	text := "found " + h.String() + ": "
	switch {
	case h.Running != nil && h.Running.Elsewhere:
		text += "it runs in another network namespace, such as a container: name its address as HOST:PORT"
	case h.address == "":
		text += "it serves no TLS"
	default:
		text += "TLS at " + h.address + ", " + h.Role()
		if h.Conf != "" {
			text += ", tls-auth-clients " + h.AuthClients
		}
	}
	if !quiet {
		complain(w, errors.New(plain.OneLine(text)))
	}
	for _, warning := range h.Warnings {
		if h.address == "" || h.Running == nil { // else it is a finding
			complain(w, errors.New(plain.OneLine(h.String()+": warning: "+warning)))
		}
	}
}

// hostTargets are the targets that the servers of a host lead to, each file once.
type hostTargets struct {
	o    *checkOptions
	want check.Want
	seen map[string]bool
	all  []check.Target
}

func (h *hostTargets) add(s hostServer) {
	if s.Running != nil && s.Running.Elsewhere || s.address == "" {
		return
	}
	want := h.want
	if roots, err := readCA(s.CA); err == nil && len(h.o.cas) == 0 {
		want.Trust = check.NewTrust(roots)
	}
	if s.Running != nil {
		role := want
		role.Role = check.ServerRole
		t := check.Target{Kind: check.Server, Disk: s.Cert, Want: role, Differs: s.Warnings, Sentinel: s.Sentinel, Links: h.o.links(s.Server),
			Peer: reload.Server{Address: s.address, Timeout: h.o.timeout}}
		if own, err := readPair(pair.Paths{Cert: s.Cert, Key: s.Key}); err == nil {
			t.Pair = &reload.Trust{Client: own}
		}
		h.all = append(h.all, t)
	}
	if s.Cert != "" && !h.seen[s.Cert] {
		h.seen[s.Cert] = true
		want.Role = check.ServerRole
		h.all = append(h.all, check.Target{Kind: check.File, Path: s.Cert, Key: check.Keys{Path: s.Key, Group: -1}, Want: want})
	}
	if s.CA != "" && !h.seen[s.CA] {
		h.seen[s.CA] = true
		h.all = append(h.all, check.Target{Kind: check.CA, Path: s.CA, Want: h.want})
	}
}

// readCA reads CA certificates; none is an error.
func readCA(path string) ([]*x509.Certificate, error) {
	if path == "" {
		return nil, errors.New("no file is named")
	}
	text, _, err := disk.ReadInTime(path, maxPEM)
	if err != nil {
		return nil, err
	}
	roots, err := cert.ParseCertificates(text)
	if err == nil && len(roots) == 0 {
		err = fmt.Errorf("%s holds no certificate", path)
	}
	return roots, err
}
