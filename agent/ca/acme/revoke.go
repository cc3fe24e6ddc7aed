package acme

import (
	"context"
	"crypto"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
)

// Revoke implements ca.Revoker. Where the key is compromised, that key signs the request
// if it is there: a CA that sees it refuses the key from then on (RFC 8555, section 7.6).
// Else the account does, which got the certificate.
func (c *Client) Revoke(ctx context.Context, r ca.Revocation) error {
	return c.withAccount(ctx, func(s *session, account acme.Account) error {
		signers := []crypto.Signer{nil} // the account's
		if key := r.Pair.Key; key != nil && r.Reason == ca.KeyCompromise {
			signers = []crypto.Signer{key, nil}
		} else if key != nil {
			signers = []crypto.Signer{nil, key}
		}
		var failed *ca.Error
		for _, signer := range signers {
			err := s.acme.RevokeCertificate(ctx, account, r.Pair.Leaf(), signer, r.Reason)
			if err == nil {
				return nil
			}
			if failed = s.failed(ctx, "revoke", err); failed.Type == "alreadyRevoked" {
				return nil
			}
			if failed.Status/100 != 4 || failed.Unavailable() {
				break // another signature would meet the same
			}
		}
		return failed
	})
}
