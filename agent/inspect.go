package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/reload"
)

// What a reload needs of a server is asked while there is time: when the server is
// proven for the first time, when it has been away, after each reload, and once a day. A
// wrong password, a missing permission or another file in redis.conf would else show at
// the due date.
const (
	inspectEvery = 24 * time.Hour
	inspectAgain = 10 * time.Minute // after one that found a fault, which may be over
)

// inspect asks servers that can be reached whether they would let the agent reload, and
// what they load. It says whether the certificate must serve for more than was known.
func (a *Agent) inspect(ctx context.Context, seen observation) (learned bool) {
	if seen.err != nil {
		return false // without the pairs on disk no server is recognised
	}
	var due []int
	for i, s := range a.servers {
		if s.leaf() != nil && !seen.now.Before(s.inspectAt()) {
			due = append(due, i)
		}
	}
	known := a.process.clientUse
	settings := make([]reload.Settings, len(a.servers))
	a.sideBySide(due, func(i int) (err error) {
		settings[i], err = a.opt.Servers[i].Settings(ctx, a.trustAt(seen, i))
		return err
	}, func(i int, err error) {
		if ctx.Err() == nil {
			a.inspected(seen, i, settings[i], err)
		}
	})
	return a.process.clientUse != known
}

// inspectAt returns when to ask the server the next time.
func (s aboutServer) inspectAt() time.Time {
	switch {
	case s.inspected.IsZero():
		return time.Time{}
	case s.link.unclear:
		return s.inspected.Add(settled)
	case s.fault != "":
		return s.inspected.Add(inspectAgain)
	case s.link.any:
		return s.link.next(s.inspected)
	}
	return s.inspected.Add(inspectEvery)
}

// inspected takes note of what server i said.
func (a *Agent) inspected(seen observation, i int, settings reload.Settings, err error) {
	s := &a.servers[i]
	s.inspected, s.link.unclear = seen.now, false
	text, down := "", ""
	if err == nil {
		a.learnKind(seen, i, settings)
		down = s.link.learn(seen.now, settings.Links)
	}
	switch {
	case errors.Is(err, reload.ErrUnreachable):
		// Its handshake says the same.
	case err != nil:
		text = fmt.Sprintf("a reload would fail: %v", err)
	case !a.loads(settings):
		text = fmt.Sprintf("its tls-cert-file is %s, which does not lead to the agent's %s: name that in redis.conf, or give the file as paths.cert in the agent's configuration", settings.Cert, a.opt.Store.CertPath())
	case down != "":
		text = down
	case a.own != nil && settings.ClientAuth && settings.CA != "" && !a.own.ServesCA(settings.CA):
		// It judges by this file who presents the pair, and nobody renews it.
		text = fmt.Sprintf("its tls-ca-cert-file is %s, which does not get the roots of a new CA, and what presents the certificate is refused then: "+
			"name %s in redis.conf, and CAs that are yours in roots.file", settings.CA, a.own.CAPath())
	case a.own != nil && settings.ClientAuth && settings.CA == "" && settings.CADir != "":
		text = fmt.Sprintf("its tls-ca-cert-dir is %s, which does not get the roots of a new CA, and what presents the certificate is refused then: "+
			"name %s as tls-ca-cert-file in redis.conf, and CAs that are yours in roots.file", settings.CADir, a.own.CAPath())
	case settings.PeerName != "" && seen.newest != nil && !carries(seen.newest.Pair.Leaf(), settings.PeerName):
		text = fmt.Sprintf("its tls-expected-peer-name is %q, which the certificate lacks: peers that want the same refuse it: add it to names", settings.PeerName)
	}
	if err == nil && settings.ClientAuth && a.opt.Client == Auto && seen.newest != nil && !cert.CanAuthenticateClients(seen.newest.Pair.Leaf()) && (a.process.clientUse == nil || !*a.process.clientUse) {
		use := true // the gate asks for clientAuth from now on, and the pair on disk does not fit
		a.process.clientUse = &use
	}
	if changed(&s.fault, text) {
		a.logServer(i).Warn(fmt.Sprintf("%s: %s", a.opt.Servers[i].Name, text), journal.KeyError, text)
	}
}

// loads says whether a server loads the agent's certificate, as far as that is known. One
// that names the very path is set as it should be: where another program's file stands
// there, that is told of the file.
func (a *Agent) loads(settings reload.Settings) bool {
	return settings.Cert == "" || filepath.Clean(settings.Cert) == filepath.Clean(a.opt.Store.CertPath()) || a.opt.Store.Serves(settings.Cert)
}

// learnKind takes note of how server i gets to load its files. One that looks for changed
// files itself may have begun to before the agent made it load them, and end after it
// (valkey-io/valkey#3549): what it shows is looked at again when that is over.
func (a *Agent) learnKind(seen observation, i int, settings reload.Settings) {
	s := &a.servers[i]
	s.autoLoad, s.sentinel, s.again = settings.AutoReload, settings.Sentinel, time.Time{}
	if s.autoLoad > 0 {
		s.again = seen.now.Add(2*s.autoLoad + 5*time.Second)
	}
	if s.sentinel { // it was asked to before it was known
		m := &a.newest.servers[i]
		m.err, m.failed = nil, plan.Attempts{}
		m.behind = m.behind && a.opt.Servers[i].Unit != nil // else nobody would ever know
	}
}

// nextInspection returns when a server that was reached is to be asked or looked at again. One that
// could have been asked already will be when the disk can be read.
func (a *Agent) nextInspection(looked time.Time) time.Time {
	var next time.Time
	for _, s := range a.servers {
		for _, at := range []time.Time{s.inspectAt(), s.again} {
			if s.leaf() != nil && at.After(looked) && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next
}
