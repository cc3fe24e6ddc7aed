package acme

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
)

// The distance between two looks at a pending authorization or order: it
// doubles from the first to the last, unless the CA names a longer one.
const (
	firstPoll = 100 * time.Millisecond
	lastPoll  = 5 * time.Second
)

// cleanup bounds the taking down of challenges once the order has ended.
const cleanup = 30 * time.Second

// obtain makes the order and returns the chain that it led to, leaf first.
func (s *session) obtain(ctx context.Context, r ca.Request, names []string, csr []byte) ([]*x509.Certificate, error) {
	account, err := s.account(ctx)
	if err != nil {
		return nil, err
	}
	order, err := s.proved(ctx, account, r, names)
	if err != nil {
		return nil, err
	}
	if order, err = s.finalize(ctx, account, order, csr); err != nil {
		return nil, err
	}
	return s.download(ctx, account, order)
}

// proved returns an order whose names are all proved. The challenges are ready
// to be put up before the order is made, and are taken down again whatever
// happens.
//
// Authorizations of an order that failed are left as they are: CAs let those
// expire that are pending, and take those that are valid for the next order.
func (s *session) proved(ctx context.Context, account acme.Account, r ca.Request, names []string) (acme.Order, error) {
	p, err := s.c.opts.Challenge.open(ctx, names)
	if err != nil {
		return acme.Order{}, s.c.fault(opProve, err)
	}
	defer s.takeDown(ctx, p)
	order, err := s.order(ctx, account, r, names)
	if err != nil {
		return order, err
	}
	return order, s.prove(ctx, account, order, p)
}

// takeDown closes p, also when ctx has ended.
func (s *session) takeDown(ctx context.Context, p proof) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	if err := p.close(ctx); err != nil {
		s.c.opts.Warn(fmt.Sprintf("%s: %s", s.c.opts.Challenge.kind(), ca.Cut(ca.Line(err.Error()), 3*ca.MaxMessage)))
	}
}

// order makes an order for names. A CA that does not know the certificate that
// is replaced, or takes it for replaced already, refuses to hear of it; the
// order is made without it then.
func (s *session) order(ctx context.Context, account acme.Account, r ca.Request, names []string) (acme.Order, error) {
	want := acme.Order{Profile: s.c.opts.Profile, Identifiers: identifiers(names), Replaces: s.replaces(r)}
	order, err := s.acme.NewOrder(ctx, account, want)
	if err != nil && want.Replaces != "" && refusesReplaces(err) {
		want.Replaces = ""
		order, err = s.acme.NewOrder(ctx, account, want)
	}
	if err != nil {
		return order, s.failed(ctx, opOrder, err)
	}
	if order.Status == acme.StatusInvalid {
		return order, s.invalid(opOrder, order)
	}
	return order, nil
}

// replaces names the certificate that a renewal replaces, for CAs that offer
// renewal information.
func (s *session) replaces(r ca.Request) string {
	if s.dir.RenewalInfo == "" || r.Current == nil || r.Fresh {
		return ""
	}
	id, err := certID(r.Current.Leaf(), nil)
	if err != nil {
		return "" // a certificate without an authority key identifier is not the CA's
	}
	return id
}

// refusesReplaces reports whether an order may do better without replaces.
// RFC 9773, section 5, leaves to the CA which error it gives, except for one;
// Pebble's for a certificate that it does not know is serverInternal.
func refusesReplaces(err error) bool {
	p := problemIn(err)
	if p == nil {
		return false
	}
	switch p.Type {
	case acme.ProblemTypeAlreadyReplaced, acme.ProblemTypeMalformed, acme.ProblemTypeUnauthorized, acme.ProblemTypeServerInternal:
		return p.Status != http.StatusServiceUnavailable
	}
	return p.Status == http.StatusNotFound || p.Status == http.StatusConflict
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

// task is one name of an order that is to be proved.
type task struct {
	authz     acme.Authorization
	challenge acme.Challenge
}

func (t task) name() string { return clean(t.authz.IdentifierValue()) }

// prove shows the CA that each name of the order is this host's. All challenges
// are put up before the CA is asked to look for the first: it may look for all
// of them at once.
func (s *session) prove(ctx context.Context, account acme.Account, order acme.Order, p proof) error {
	tasks, err := s.tasks(ctx, account, order)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if err := p.present(ctx, t.challenge); err != nil {
			return s.unproved(ctx, t, err)
		}
	}
	for _, t := range tasks {
		if err := p.ready(ctx, t.challenge); err != nil {
			return s.unproved(ctx, t, err)
		}
	}
	within, cancel := context.WithTimeout(ctx, s.c.opts.Patience)
	defer cancel()
	for i := range tasks {
		if err := s.start(within, account, &tasks[i]); err != nil {
			return s.late(ctx, within, tasks[i], err)
		}
	}
	for i := range tasks {
		if err := s.await(within, account, &tasks[i]); err != nil {
			return s.late(ctx, within, tasks[i], err)
		}
	}
	return nil
}

// tasks lists what of the order is still to be proved. A CA may remember that a
// name was proved a while ago.
func (s *session) tasks(ctx context.Context, account acme.Account, order acme.Order) ([]task, error) {
	var tasks []task
	for _, url := range order.Authorizations {
		authz, err := s.acme.GetAuthorization(ctx, account, url)
		if err != nil {
			return nil, s.failed(ctx, opProve, err)
		}
		switch authz.Status {
		case acme.StatusValid:
			continue
		case acme.StatusPending:
		default:
			return nil, s.verdict(task{authz: authz})
		}
		kind := s.c.opts.Challenge.kind()
		i := slices.IndexFunc(authz.Challenges, func(c acme.Challenge) bool { return c.Type == kind })
		if i < 0 {
			return nil, s.c.fault(opProve, fmt.Errorf("%s: %s does not take %s for it: configure %s",
				clean(authz.IdentifierValue()), s.c.base.Host, kind, offered(authz)))
		}
		tasks = append(tasks, task{authz, authz.Challenges[i]})
	}
	return tasks, nil
}

func offered(a acme.Authorization) string {
	var kinds []string
	for _, c := range a.Challenges {
		kinds = append(kinds, ca.Cut(clean(c.Type), 30))
	}
	if len(kinds) == 0 {
		return "another CA, this one offers no challenge at all"
	}
	return strings.Join(kinds, " or ")
}

// start asks the CA to look for the challenge. step-ca looks before it answers.
func (s *session) start(ctx context.Context, account acme.Account, t *task) error {
	c, err := s.acme.InitiateChallenge(ctx, account, t.challenge)
	if err == nil {
		t.challenge = c
	}
	return err
}

// await waits until the CA has decided on one name.
//
// A challenge that is pending again, with an error, is one that the CA has
// looked for in vain, as step-ca leaves it: it will not look again by itself.
// "Clients can explicitly request a retry by re-sending their response to a
// challenge in a new POST request" (RFC 8555, section 8.2).
func (s *session) await(ctx context.Context, account acme.Account, t *task) error {
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		authz, err := s.acme.GetAuthorization(ctx, account, t.authz.Location)
		if err != nil {
			return err
		}
		t.authz = authz
		after := s.wire.answer().after
		for _, c := range authz.Challenges {
			if c.URL == t.challenge.URL {
				t.challenge = c
			}
		}
		switch authz.Status {
		case acme.StatusValid:
			return nil
		case acme.StatusPending:
		default:
			return s.verdict(*t)
		}
		if err := wait(ctx, max(pause, after)); err != nil {
			return err
		}
		if t.challenge.Status == acme.StatusPending && t.challenge.Error != nil {
			if err := s.start(ctx, account, t); err != nil {
				return err
			}
		}
	}
}

// wait waits for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finalize sends the request and waits until the CA has issued.
func (s *session) finalize(ctx context.Context, account acme.Account, order acme.Order, csr []byte) (acme.Order, error) {
	within, cancel := context.WithTimeout(ctx, s.c.opts.Patience)
	defer cancel()
	s.acme.PollTimeout = 2 * s.c.opts.Patience // within ends it
	done, err := s.acme.FinalizeOrder(within, account, order, csr)
	switch {
	case err == nil:
		return done, nil
	case done.Status == acme.StatusInvalid:
		return done, s.invalid(opFinalize, done)
	case ctx.Err() == nil && within.Err() != nil:
		return done, &Error{Op: opFinalize, url: s.place(), err: within.Err(),
			Message: fmt.Sprintf("no certificate within %s", s.c.opts.Patience), hint: "the CA's log has the reason"}
	}
	return done, s.failed(ctx, opFinalize, err)
}
