package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"redis-cert-agent/agent"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/reload"
)

// changeLimit is how long what is to be done after a change may take.
const changeLimit = time.Minute

// A pairChange is what is to be done when a client's pair has changed. To its agent it is a
// server that loads the pair: a file tells for which certificate it was done last, as a
// handshake would, so that a change that was not followed, whatever came in between, is
// made good.
type pairChange struct {
	file    string // the certificate for which it was done last, in PEM
	store   agent.Store
	active  *active // the agent of the servers
	command notify.Command
}

func (p *clientPair) change(store agent.Store) *pairChange {
	return &pairChange{filepath.Join(p.pair.Pair.Dir, "changed"), store, p.d.active, p.pair.Command}
}

// Served implements agent.Redis: it tells for what the change was followed.
func (c *pairChange) Served(context.Context, reload.Trust) (reload.Served, error) {
	text, err := disk.Read(c.file, 1<<20)
	if err != nil {
		return reload.Served{}, err
	}
	chain, err := cert.ParseCertificates(text)
	return reload.Served{Chain: chain}, err
}

// Reload implements agent.Redis: the servers that present the pair to others read their
// files again, and the command is run.
func (c *pairChange) Reload(ctx context.Context, _ reload.Trust, l reload.Load) (reload.Reloaded, error) {
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	if l.Ready != nil {
		if err := l.Ready(reload.Settings{}); err != nil {
			return reload.Reloaded{}, err
		}
	}
	err := c.active.ask(ctx, func(a *agent.Agent) error { return a.Reread(ctx, c.store.Serves) })
	if err != nil {
		err = fmt.Errorf("the servers that present it: %w", err)
	}
	if len(c.command.Args) > 0 {
		if failed := c.command.Run(ctx, nil); errors.Is(failed, context.DeadlineExceeded) {
			err = plain.Join(err, fmt.Errorf("%s has not ended within %s", c.command.Args[0], changeLimit))
		} else {
			err = plain.Join(err, failed)
		}
	}
	if err != nil {
		return reload.Reloaded{}, err
	}
	return reload.Reloaded{}, disk.Replace(c.file, l.Pair.CertPEM())
}

// Prove implements agent.Redis.
func (c *pairChange) Prove(ctx context.Context, t reload.Trust, leaf *x509.Certificate) error {
	served, err := c.Served(ctx, t)
	if err == nil && (len(served.Chain) == 0 || !served.Chain[0].Equal(leaf)) {
		err = reload.ErrOtherLeaf
	}
	return err
}

// Settings implements agent.Redis.
func (*pairChange) Settings(context.Context, reload.Trust) (reload.Settings, error) {
	return reload.Settings{}, nil
}
