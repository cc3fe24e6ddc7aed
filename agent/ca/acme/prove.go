package acme

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plan"
)

// polling is the pause between two questions about what is pending, unless the CA
// asks for a longer one.
var polling = plan.Backoff{First: 100 * time.Millisecond, Longest: 5 * time.Second}

// task is a name of the order that is still to be proved.
type task struct {
	authz     acme.Authorization
	challenge acme.Challenge
}

func (t task) name() string { return ca.Clean(t.authz.IdentifierValue(), ca.MaxMessage) }

// prove shows the CA that each name of the order belongs to this host. It puts up
// all challenges before it asks the CA to look for the first, because the CA may
// look for all of them at once.
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
	within, cancel := context.WithTimeout(ctx, s.c.phase)
	defer cancel()
	defer func() { s.looked(tasks) }()
	for i := range tasks {
		if err := s.start(within, account, &tasks[i]); err != nil {
			return s.notProved(ctx, within, tasks[i], err)
		}
	}
	for i := range tasks {
		if err := s.await(within, account, &tasks[i]); err != nil {
			return s.notProved(ctx, within, tasks[i], err)
		}
	}
	return nil
}

// tasks lists the names of the order that are still to be proved. The CA may
// remember that a name was proved for an earlier order.
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
			return nil, s.rejected(task{authz: authz})
		}
		kind := s.kind
		i := slices.IndexFunc(authz.Challenges, func(c acme.Challenge) bool { return c.Type == kind })
		if i < 0 {
			return nil, ca.Fault(opProve, notTried{fmt.Errorf("%s: %s does not take %s for it: configure %s",
				ca.Clean(authz.IdentifierValue(), ca.MaxMessage), s.c.base.Host, kind, offered(authz))})
		}
		tasks = append(tasks, task{authz, authz.Challenges[i]})
	}
	return tasks, nil
}

// offered names the challenges that the CA accepts for a name.
func offered(a acme.Authorization) string {
	var kinds []string
	for _, c := range a.Challenges {
		kinds = append(kinds, ca.Clean(c.Type, 30))
	}
	if len(kinds) == 0 {
		return "another CA, this one offers no challenge at all"
	}
	return strings.Join(kinds, " or ")
}

// start asks the CA to look for the challenge. step-ca looks before it answers
// this request.
func (s *session) start(ctx context.Context, account acme.Account, t *task) error {
	c, err := s.acme.InitiateChallenge(ctx, account, t.challenge)
	if err == nil {
		t.challenge = c
	}
	return err
}

// await waits until the CA has decided on one name.
//
// Where step-ca does not find a challenge, it leaves it pending with an error, and
// does not look again by itself, so that await asks it to. "Clients can explicitly request a retry by re-sending their response to a
// challenge in a new POST request" (RFC 8555, section 8.2).
func (s *session) await(ctx context.Context, account acme.Account, t *task) error {
	for asked := 1; ; asked++ {
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
			return s.rejected(*t)
		}
		if err := wait(ctx, max(polling.Delay(asked, 0), after)); err != nil {
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

// unproved returns the error of a challenge that could not be put up, or that
// this host itself does not see.
func (s *session) unproved(ctx context.Context, t task, err error) *ca.Error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	e := ca.Fault(opProve, err)
	e.Name = t.name()
	return e
}

// notProved turns err into the error of a name that could not be proved: the
// decision of the CA, the end of the time that it may take, or a request that
// failed.
func (s *session) notProved(ctx, within context.Context, t task, err error) *ca.Error {
	var e *ca.Error
	switch {
	case errors.As(err, &e):
		return e
	case within.Err() != nil && ctx.Err() != context.Canceled:
		return s.undecided(t, ctx.Err() != nil)
	}
	e = s.failed(ctx, opProve, err)
	e.Name = t.name()
	return e
}

// undecided returns the error of a name that the CA has not decided on in time.
// step-ca leaves a name undecided for ever that it could not reach. All says that
// the time of the whole order is over.
func (s *session) undecided(t task, all bool) *ca.Error {
	bound := fmt.Sprintf("within %s", s.c.phase)
	if all {
		bound = "in time"
	}
	e := &ca.Error{Op: opProve, Name: t.name(), URL: s.at.URL, Err: context.DeadlineExceeded,
		Message: fmt.Sprintf("not validated %s by %s", bound, ca.Clean(t.challenge.Type, ca.MaxMessage))}
	if p := t.challenge.Error; p != nil {
		e.Type = kind(p.Type)
		e.Message += ": " + problemText(p)
	}
	e.Hint = s.proofHint(t)
	return e
}

// rejected returns the error of a name that the CA has decided against.
func (s *session) rejected(t task) *ca.Error {
	e := &ca.Error{Op: opProve, Name: t.name(), URL: s.at.URL}
	for _, c := range t.authz.Challenges {
		if c.Error != nil {
			t.challenge = c
			s.problem(e, c.Error)
			e.Status = 0 // it is about what the CA found here, and not the status of an answer
		}
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("the authorization is %s, and the CA does not say why", ca.Clean(t.authz.Status, 30))
	}
	if e.Hint == "" || e.Type == "unauthorized" {
		e.Hint = s.proofHint(t)
	}
	return e
}
