package acme

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/disk"
)

// nextKeySuffix is behind the name of the account key's file while the key is changed.
const nextKeySuffix = ".new"

// Rollover gives the account a new key (RFC 8555, section 7.3.5), and returns the
// account's URL. The new key is on the disk before the CA sees it, and takes the place of
// the old one when the CA has taken it: whatever happens in between, one of the two files
// has the key of the account, and the next call finds out which. The error is a *ca.Error.
func (c *Client) Rollover(ctx context.Context) (account string, err error) {
	err = c.withAccount(ctx, func(s *session, have acme.Account) error {
		account = have.Location
		next, err := c.nextKey()
		if err != nil {
			return ca.Fault(opAccount, err)
		}
		if _, err := s.acme.AccountKeyRollover(ctx, have, next); err != nil {
			return s.failed(ctx, opAccount, err)
		}
		if err := c.takeNextKey(); err != nil {
			return ca.Fault(opAccount, err)
		}
		return nil
	})
	return account, err
}

// nextKey returns the key that an earlier call left behind, which the CA may have taken,
// or a new one. Its file belongs to whom the key's belongs.
func (c *Client) nextKey() (crypto.Signer, error) {
	path := c.opts.AccountKeyFile + nextKeySuffix
	key, err := readAccountKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeAccountKey(path)
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(c.opts.AccountKeyFile)
	if err != nil {
		return nil, err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		err = os.Chown(path, int(owner.Uid), int(owner.Gid))
	}
	return key, err
}

// takeNextKey puts the new key in the place of the old one.
func (c *Client) takeNextKey() error {
	err := os.Rename(c.opts.AccountKeyFile+nextKeySuffix, c.opts.AccountKeyFile)
	if err != nil {
		return fmt.Errorf("the CA has the new key of the account, which the next order finds: %w", err)
	}
	return disk.SyncDir(filepath.Dir(c.opts.AccountKeyFile))
}

// rolledOver returns the account of the new key, where a change of keys was cut off
// between the CA and the disk.
func (s *session) rolledOver(ctx context.Context) (acme.Account, bool) {
	key, err := readAccountKey(s.c.opts.AccountKeyFile + nextKeySuffix)
	if err != nil {
		return acme.Account{}, false
	}
	have, err := s.acme.GetAccount(ctx, acme.Account{PrivateKey: key})
	if err != nil || have.Status != acme.StatusValid {
		return acme.Account{}, false
	}
	if err := s.c.takeNextKey(); err != nil {
		s.c.opts.Warn(err.Error())
	}
	have.PrivateKey = key
	return have, true
}

// updateContact tells the CA at which addresses it reaches the operator, where it names
// others. Some CAs keep the addresses to themselves: those are told once per process. An
// order does not fail for it.
func (s *session) updateContact(ctx context.Context, have acme.Account) {
	want := s.c.opts.Contact
	if len(want) == 0 || s.c.contacted || slices.Equal(want, have.Contact) {
		return
	}
	s.c.contacted = true
	if _, err := s.acme.UpdateAccount(ctx, acme.Account{Location: have.Location, PrivateKey: have.PrivateKey, Contact: want}); err != nil {
		s.c.opts.Warn(fmt.Sprintf("%s does not take the new contact: %v", s.c.base.Host, s.failed(ctx, opAccount, err)))
	}
}
