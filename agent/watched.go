package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/report"
)

// maxWatched bounds a watched file. A bundle of all public roots has a quarter
// of it.
const maxWatched = 1 << 20

// watched returns everything that can expire: the pair on disk with its chain
// and its CA bundle, what each server shows, and the files of others. Due is
// when the newest pair is to be renewed.
func (a *Agent) watched(see sight, due time.Time) []report.Certificate {
	var all []report.Certificate
	add := func(c *x509.Certificate, role report.Role, where report.Certificate) {
		r := report.CertificateOf(c, role)
		r.Where, r.Server, r.Path = where.Where, where.Server, where.Path
		r.WarnAt, r.CritAt = a.Warn.Start(c), a.Crit.Start(c)
		if see.newest != nil && see.newest.Pair != nil && c.Equal(see.newest.Pair.Leaf()) && !due.IsZero() {
			// Not before a renewal is well overdue: a CA that backdates short
			// certificates would else have them begin with a warning.
			left := c.NotAfter.Sub(due)
			r.WarnAt, r.CritAt = latest(r.WarnAt, due.Add(left/4)), latest(r.CritAt, due.Add(left*7/10))
		}
		all = append(all, r)
	}
	chain := func(chain []*x509.Certificate, where report.Certificate) {
		for i, c := range chain {
			role := report.Leaf
			if i > 0 {
				role = report.Intermediate
			}
			add(c, role, where)
		}
	}
	if g := see.disk.Current; g != nil && g.Err == nil {
		chain(g.Pair.Chain, report.Certificate{Where: report.OnDisk})
		for _, c := range g.Pair.CA {
			add(c, report.Authority, report.Certificate{Where: report.OnDisk})
		}
	}
	for i := range a.Servers {
		chain(a.servers[i].chain, report.Certificate{Where: report.Served, Server: a.Servers[i].Name})
	}
	for _, f := range a.Watched {
		where := report.Certificate{Where: report.InFile, Server: f.Server, Path: f.Path}
		certs, err := readCertificates(f.Path)
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err // the path stands beside it
			}
			where.Role, where.Error = report.ClientLeaf, err.Error()
			all = append(all, where)
		}
		for i, c := range certs {
			add(c, roleOf(i, c), where)
		}
	}
	return all
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// roleOf tells what the i-th certificate of a watched file is for.
func roleOf(i int, c *x509.Certificate) report.Role {
	switch {
	case i == 0 && !c.IsCA:
		return report.ClientLeaf
	case c.IsCA && cert.SelfIssued(c):
		return report.Authority
	}
	return report.Intermediate
}

// readCertificates reads a file that others write.
func readCertificates(path string) ([]*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxWatched+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxWatched {
		return nil, fmt.Errorf("it is larger than %d bytes: name a PEM file of certificates", maxWatched)
	}
	return cert.ParseCertificates(text)
}

// tellEnds logs, once each, that the end of a certificate has come near or very
// near.
func (a *Agent) tellEnds(ctx context.Context, s report.Status) {
	near := map[string]bool{}
	for _, p := range s.Problems() {
		if p.Kind != report.CertExpiring && p.Kind != report.CertExpired {
			continue
		}
		key := string(p.Severity) + p.Kind + p.Key
		near[key] = true
		if !a.told[key] {
			report.Expiring.Log(ctx, a.Log, p.Text, slog.String(report.KeySerial, p.Serial), slog.Time(report.KeyNotAfter, p.NotAfter))
		}
	}
	a.told = near
}
