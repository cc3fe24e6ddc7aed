package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
)

// maxWatched bounds a watched file. A bundle of all public roots has a quarter
// of it.
const maxWatched = 1 << 20

// watched returns everything that can expire: the pair on disk with its chain and those
// CA certificates that a chain leads to, what each server shows, and the files of others.
// What nobody needs may end. Due is when the newest pair is to be renewed.
func (a *Agent) watched(seen observation, due time.Time) []status.Certificate {
	var all []status.Certificate
	add := func(c *x509.Certificate, role status.Role, where status.Certificate) {
		r := status.CertificateOf(c, role)
		r.Where, r.Server, r.Path = where.Where, where.Server, where.Path
		r.WarnAt, r.CritAt = a.opt.Warn.Start(c), a.opt.Crit.Start(c)
		if seen.newest != nil && seen.newest.Pair != nil && c.Equal(seen.newest.Pair.Leaf()) && !due.IsZero() {
			// Not before a renewal is well overdue: a CA that backdates short
			// certificates would else have them begin with a warning.
			left := c.NotAfter.Sub(due)
			r.WarnAt, r.CritAt = latest(r.WarnAt, due.Add(left/4)), latest(r.CritAt, due.Add(left*7/10))
		}
		all = append(all, r)
	}
	var bundle, used []*x509.Certificate
	chain := func(chain []*x509.Certificate, where status.Certificate) {
		used = append(used, cert.Way(chain, bundle)...)
		for i, c := range cert.Needed(chain, bundle) {
			role := status.RoleLeaf
			switch {
			case i > 0:
				role = status.RoleIntermediate
			case a.opt.Beside:
				role = status.RoleClient
			}
			add(c, role, where)
		}
	}
	if g := seen.disk.Current; g != nil && g.Err == nil {
		bundle = g.Pair.CA
		chain(g.Pair.Chain, a.onDisk())
	}
	if a.opt.Beside {
		return all // the agent of the servers watches the authorities
	}
	for i := range a.opt.Servers {
		if shown := a.servers[i].shown; len(shown) > 0 {
			chain(shown, status.Certificate{Where: status.SeenServed, Server: a.opt.Servers[i].Name})
		}
	}
	for _, c := range bundle {
		if len(used) == 0 || slices.ContainsFunc(used, c.Equal) { // a bundle may be that of the whole system
			add(c, status.RoleCA, status.Certificate{Where: status.SeenOnDisk})
		}
	}
	for i, read := range readAll(a.opt.Watched) {
		f, certs, err := a.opt.Watched[i], read.certs, read.err
		where := status.Certificate{Where: status.SeenInFile, Server: f.Server, Path: f.Path}
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err // the path stands beside it
			}
			where.Role, where.Error = status.RoleClient, err.Error()
			all = append(all, where)
		}
		for i, c := range certs {
			add(c, roleOf(i, c), where)
		}
	}
	return all
}

// onDisk is where the pair is. That of a client is one of several, and has its path.
func (a *Agent) onDisk() status.Certificate {
	if a.opt.Beside {
		return status.Certificate{Where: status.SeenInFile, Path: a.opt.Store.CertPath()}
	}
	return status.Certificate{Where: status.SeenOnDisk}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// roleOf tells what the i-th certificate of a watched file is for.
func roleOf(i int, c *x509.Certificate) status.Role {
	switch {
	case i == 0 && !c.IsCA:
		return status.RoleClient
	case c.IsCA && cert.SelfIssued(c):
		return status.RoleCA
	}
	return status.RoleIntermediate
}

// A content is what was in a watched file.
type content struct {
	certs []*x509.Certificate
	err   error
}

// readAll reads files that others write, side by side: the renewal waits for them, and
// several may lie where reading hangs.
func readAll(files []File) []content {
	read := make([]content, len(files))
	var reading sync.WaitGroup
	for i, f := range files {
		reading.Go(func() {
			text, _, err := disk.ReadInTime(f.Path, maxWatched)
			if err == nil {
				read[i].certs, err = cert.ParseChain(text)
			}
			read[i].err = err
		})
	}
	reading.Wait()
	return read
}

// tellEnds logs, once each, that the end of a certificate has come near or very
// near.
func (a *Agent) tellEnds(ctx context.Context, s status.Status) {
	near, problems := map[string]bool{}, map[string]status.Problem{}
	for _, p := range s.Problems() {
		if p.Kind == status.CertExpiring || p.Kind == status.CertExpired {
			key := string(p.Severity) + p.Kind + p.Key
			near[key], problems[key] = true, p
		}
	}
	fresh := a.opt.Tally.near(near)
	for _, key := range slices.Sorted(maps.Keys(fresh)) {
		p := problems[key]
		journal.Expiring.Log(ctx, a.opt.Log, p.Text, slog.String(journal.KeySerial, p.Serial), slog.Time(journal.KeyNotAfter, p.NotAfter))
	}
}
