package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
)

// cleanup bounds how long challenges are taken down after the end of an order.
const cleanup = 30 * time.Second

// obtain makes the order and returns the chain that it led to, leaf first.
func (s *session) obtain(ctx context.Context, r ca.Request, csr []byte) ([]*x509.Certificate, error) {
	account, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	order, err := s.proved(ctx, account, r)
	if err != nil {
		return nil, err
	}
	if order, err = s.finalize(ctx, account, order, csr); err != nil {
		return nil, err
	}
	return s.download(ctx, account, order)
}

// proved makes an order and returns it when all of its names are proved. It opens
// the listener, or finds the zone, before it makes the order, and takes the
// challenges down whatever happens.
//
// It leaves the authorizations of an order that failed as they are, because CAs
// let the pending ones expire and use the valid ones for the next order.
func (s *session) proved(ctx context.Context, account acme.Account, r ca.Request) (acme.Order, error) {
	var order acme.Order
	var errs []error
	for _, how := range s.c.opts.challenges() {
		if provable(how, r.Names) != nil {
			continue // another of the list can
		}
		if d, ok := how.(DNSPersist01); ok {
			d.account = account
			how = d
		}
		if len(errs) > 0 {
			s.c.opts.Warn(fmt.Sprintf("%s: %s is tried: %s", s.c.base.Host, how.kind(), ca.Clean(errs[len(errs)-1].Error(), 3*ca.MaxMessage)))
		}
		next, err := s.provedBy(ctx, account, r, order, how)
		if order = next; err == nil {
			return order, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil || !errors.As(err, new(notTried)) {
			return order, err // what the CA says of a name, or of the order
		}
	}
	if len(errs) == 1 {
		return order, errs[0]
	}
	return order, ca.Fault(opProve, plain.Join(errs...))
}

// notTried is the error of a challenge that the CA was not asked to look for.
type notTried struct{ error }

func (e notTried) Unwrap() error { return e.error }

// provedBy proves the names of an order in one way. It makes the order when there is none.
func (s *session) provedBy(ctx context.Context, account acme.Account, r ca.Request, order acme.Order, how Challenge) (acme.Order, error) {
	p, err := how.open(ctx, r.Names)
	if err != nil {
		return order, ca.Fault(opProve, notTried{err})
	}
	defer s.takeDown(ctx, how, p)
	if order.Location == "" {
		if order, err = s.order(ctx, account, r); err != nil {
			return acme.Order{}, err
		}
	}
	s.kind = how.kind()
	return order, s.prove(ctx, account, order, p)
}

// takeDown closes p, also when ctx has ended.
func (s *session) takeDown(ctx context.Context, how Challenge, p proof) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	if err := p.close(ctx); err != nil {
		s.c.opts.Warn(fmt.Sprintf("%s: %s", how.kind(), ca.Clean(err.Error(), 3*ca.MaxMessage)))
	}
}

// order makes an order for the names of r. It names the certificate that is
// replaced, and orders once more without that when the CA does not know that
// certificate, or holds it to be replaced already.
func (s *session) order(ctx context.Context, account acme.Account, r ca.Request) (acme.Order, error) {
	want := acme.Order{Profile: s.c.opts.Profile, Identifiers: identifiers(r.Names), Replaces: s.replaces(r)}
	if want.Replaces == "" {
		if err := s.mayOrder(r.Names); err != nil {
			return want, err
		}
	}
	order, err := s.acme.NewOrder(ctx, account, want)
	if err != nil && want.Replaces != "" && s.refusesReplaces(err) {
		want.Replaces = ""
		if err := s.mayOrder(r.Names); err != nil {
			return want, err
		}
		order, err = s.acme.NewOrder(ctx, account, want)
	}
	if err != nil {
		return order, s.failed(ctx, opOrder, err)
	}
	s.ordered(want.Replaces)
	if order.Status == acme.StatusInvalid {
		return order, s.invalid(opOrder, order)
	}
	return order, nil
}

// replaces returns the identifier of the certificate that a renewal replaces,
// for a CA that offers renewal information; otherwise it is empty.
func (s *session) replaces(r ca.Request) string {
	if s.dir.RenewalInfo == "" || r.Current == nil || r.Fresh {
		return ""
	}
	id, err := certID(r.Current.Leaf(), nil)
	if err != nil {
		return "" // it has no authority key identifier, so this CA did not issue it
	}
	return id
}

// refusesReplaces reports whether the order might be accepted without its field
// replaces. RFC 9773, section 5, fixes one error only and leaves the others to the
// CA: the certificate is another account's (unauthorized), it does not know it
// (malformed, not found, and serverInternal of Pebble), or the field itself. An order
// that was refused counts against no limit.
func (s *session) refusesReplaces(err error) bool {
	p := problemIn(err)
	if p == nil {
		switch s.wire.answer().status {
		case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity:
			return true
		}
		return false
	}
	switch p.Type {
	case acme.ProblemTypeAlreadyReplaced, acme.ProblemTypeMalformed, acme.ProblemTypeUnauthorized, acme.ProblemTypeServerInternal:
		return p.Status != http.StatusServiceUnavailable
	}
	switch p.Status {
	case http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

func identifiers(names []string) []acme.Identifier {
	dns, ips := cert.SplitNames(names)
	var ids []acme.Identifier
	for _, n := range dns {
		ids = append(ids, acme.Identifier{Type: "dns", Value: n})
	}
	for _, ip := range ips {
		ids = append(ids, acme.Identifier{Type: "ip", Value: ip.String()}) // RFC 8738
	}
	return ids
}

// finalize sends the certificate request and waits until the CA has issued.
func (s *session) finalize(ctx context.Context, account acme.Account, order acme.Order, csr []byte) (acme.Order, error) {
	within, cancel := context.WithTimeout(ctx, s.c.phase)
	defer cancel()
	s.acme.PollTimeout = 2 * s.c.phase // the end of within comes first
	done, err := s.acme.FinalizeOrder(within, account, order, csr)
	for asked := 1; err != nil && s.early(done, err); asked++ {
		if order, err = s.look(within, account, order, asked); err == nil {
			done, err = s.acme.FinalizeOrder(within, account, order, csr)
		}
	}
	switch {
	case err == nil:
		s.issued(order)
		return done, nil
	case problemIn(err) == nil && done.Status != acme.StatusInvalid:
		s.issued(order) // it may be, and this host did not hear of it
	}
	switch {
	case done.Status == acme.StatusInvalid:
		return done, s.invalid(opFinalize, done)
	case ctx.Err() == nil && within.Err() != nil:
		return done, &ca.Error{Op: opFinalize, URL: s.at.URL, Err: within.Err(),
			Message: fmt.Sprintf("no certificate within %s", s.c.phase), Hint: "the CA's log has the reason"}
	}
	return done, s.failed(ctx, opFinalize, err)
}

// early reports whether the CA refused to finalize an order because it did not know yet
// that its names are proved. A CA of several machines may learn that late: the client
// "should then send a POST-as-GET request to the order resource to obtain its current
// state" (RFC 8555, section 7.4). acmez drops that error, and tells of the order as it was.
func (s *session) early(order acme.Order, err error) bool {
	return problemIn(err) == nil && s.wire.answer().status == http.StatusForbidden &&
		(order.Status == acme.StatusPending || order.Status == acme.StatusReady)
}

// look waits until the CA has another opinion of an order than that names are to be proved.
func (s *session) look(ctx context.Context, account acme.Account, order acme.Order, asked int) (acme.Order, error) {
	for ; ; asked++ {
		if err := wait(ctx, max(polling.Delay(asked, 0), s.wire.answer().after)); err != nil {
			return order, err
		}
		order, err := s.acme.GetOrder(ctx, account, order)
		if err != nil || order.Status != acme.StatusPending {
			return order, err
		}
	}
}
