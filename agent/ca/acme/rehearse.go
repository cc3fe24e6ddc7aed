package acme

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plain"
)

// Rehearse is Inspect, and tries the account and the proof of each name without an order:
// listeners are opened and asked, records are set, seen and removed. No account is made;
// where there is none yet, the first order makes it.
func (c *Client) Rehearse(ctx context.Context, names []string, _ []*x509.Certificate) (found string, ahead time.Duration, err error) {
	if err := c.opts.Provable(lower(names)); err != nil {
		return "", 0, ca.Fault("rehearse", err)
	}
	// A record of an order that runs must not be taken down, nor its port be taken.
	if err := c.lock(ctx); err != nil {
		return "", 0, ca.Fault("rehearse", err)
	}
	defer c.unlock()
	ahead, err = c.inspect(ctx, func(s *session) error {
		account, what, err := s.existing(ctx)
		if err != nil {
			return err
		}
		how, err := s.provedDry(ctx, account, lower(names))
		found = fmt.Sprintf("its directory answers, %s, %s", what, how)
		return err
	})
	return found, ahead, err
}

// existing returns the account without making it, nor its key.
func (s *session) existing(ctx context.Context) (account acme.Account, what string, err error) {
	path := s.c.opts.AccountKeyFile
	if _, err := readAccountKeyFile(path); errors.Is(err, fs.ErrNotExist) {
		return account, "the first order makes the account", nil
	}
	key, err := accountKey(path)
	if err != nil {
		return account, "", ca.Fault(opAccount, err)
	}
	have, err := s.acme.GetAccount(ctx, acme.Account{PrivateKey: key})
	switch p := problemIn(err); {
	case p != nil && p.Type == acme.ProblemTypeAccountDoesNotExist:
		return account, "the next order makes the account", nil
	case err != nil:
		return account, "", s.failed(ctx, opAccount, err)
	}
	have.PrivateKey = key
	return have, "account " + ca.Clean(have.Location, 120), s.valid(have)
}

// provedDry goes through the ways to prove names as proved does, up to the point where the CA
// would be told to look.
func (s *session) provedDry(ctx context.Context, account acme.Account, names []string) (found string, err error) {
	var errs []error
	for _, how := range s.c.opts.challenges() {
		if provable(how, names) != nil {
			continue
		}
		if d, ok := how.(DNSPersist01); ok {
			if account.Location == "" {
				return "its dns-persist-01 records name the account that there will be", nil
			}
			d.account = account
			how = d
		}
		err := s.tryProof(ctx, how, names)
		if err == nil {
			return how.kind() + " works on this side", nil
		}
		errs = append(errs, err)
	}
	e := ca.Fault(opProve, plain.Join(errs...))
	e.Name = strings.Join(names, ", ")
	return "", e
}

// tryProof opens one way to prove names, puts up a challenge for each that nobody asked
// for, sees it from this host, and takes it down.
func (s *session) tryProof(ctx context.Context, how Challenge, names []string) (err error) {
	p, err := how.open(ctx, names)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
		defer cancel()
		if closing := p.close(ctx); err == nil && closing != nil {
			err = fmt.Errorf("%s: %w", how.kind(), closing)
		}
	}()
	var dry []acme.Challenge
	for _, id := range identifiers(names) {
		token := rand.Text()
		id.Value = strings.TrimPrefix(id.Value, "*.") // as in an authorization (RFC 8555, section 7.1.4)
		dry = append(dry, acme.Challenge{Type: how.kind(), Token: token, KeyAuthorization: token + ".rehearsal", Identifier: id})
	}
	for _, c := range dry {
		if err := p.present(ctx, c); err != nil {
			return fmt.Errorf("%s of %s: %w", how.kind(), c.Identifier.Value, err)
		}
	}
	for _, c := range dry {
		if err := p.ready(ctx, c); err != nil {
			return fmt.Errorf("%s of %s: %w", how.kind(), c.Identifier.Value, err)
		}
	}
	return nil
}
