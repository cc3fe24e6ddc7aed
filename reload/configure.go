package reload

import (
	"context"
	"errors"
	"fmt"
)

// A Parameter is one of Redis' configuration.
type Parameter struct{ Name, Value string }

// A Change is what Configure makes of a running server.
type Change struct {
	Parameters []Parameter // set in this order
	ACL        []string    // the arguments of ACL SETUSER; none: no user
	Gone       string      // a user to delete; empty: none
}

// ErrNotKept says that the server has taken a change, and cannot write it to its
// configuration: the next start forgets it.
var ErrNotKept = errors.New("the change holds until the next start only")

// Configure changes a running server and has it write its configuration. It is for a
// person who sets a server up: the agent at work never does it.
//
// The parameters go in one command, which is all or nothing, from 7.0 on. Before that
// they go one by one, and what was set is put back when one is refused. The errors are
// those of Reload, and ErrNotKept.
func (r *Redis) Configure(ctx context.Context, t Trust, c Change) error {
	err := r.with(ctx, t, func(s *session) error {
		if err := s.setAll(ctx, c.Parameters); err != nil {
			return err
		}
		if err := s.users(ctx, c); err != nil {
			return err
		}
		return s.keep(ctx)
	})
	if err != nil {
		return fmt.Errorf("configure %s: %w", r.server.Address, err)
	}
	return nil
}

func (s *session) setAll(ctx context.Context, all []Parameter) error {
	if len(all) == 0 {
		return nil
	}
	answers, err := s.ask(ctx, askVersion)
	if err != nil {
		return err
	}
	version, err := answers[0].version()
	if err != nil {
		return err
	}
	if AtLeast(version, 7, 0) {
		command := []any{s.r.server.ConfigCommand, "SET"}
		for _, p := range all {
			command = append(command, p.Name, p.Value)
		}
		return s.one(ctx, question{"config set", command})
	}
	return s.setEach(ctx, all)
}

// setEach sets one parameter after the other, or none.
func (s *session) setEach(ctx context.Context, all []Parameter) error {
	var before []Parameter
	for _, p := range all {
		answers, err := s.ask(ctx, s.get(p.Name))
		if err != nil {
			return err
		}
		old, err := s.value(answers[0], p.Name)
		if err == nil {
			err = s.configSet(ctx, p.Name, p.Value)
		}
		if err != nil {
			for i := range before {
				undone := before[len(before)-1-i]
				err = errors.Join(err, s.configSet(ctx, undone.Name, undone.Value))
			}
			return err
		}
		before = append(before, Parameter{p.Name, old})
	}
	return nil
}

func (s *session) users(ctx context.Context, c Change) error {
	if c.Gone != "" {
		return s.one(ctx, question{"acl deluser", []any{"ACL", "DELUSER", c.Gone}})
	}
	if len(c.ACL) == 0 {
		return nil
	}
	command := []any{"ACL", "SETUSER"}
	for _, word := range c.ACL {
		command = append(command, word)
	}
	return s.one(ctx, question{"acl setuser", command})
}

// keep writes the configuration, and the users where they have a file of their own.
func (s *session) keep(ctx context.Context) error {
	answers, err := s.ask(ctx, s.get("aclfile"))
	if err != nil {
		return err
	}
	file, err := s.value(answers[0], "aclfile")
	if err == nil && file != "" {
		err = s.one(ctx, question{"acl save", []any{"ACL", "SAVE"}})
	}
	err = errors.Join(err, s.one(ctx, question{"config rewrite", []any{s.r.server.ConfigCommand, "REWRITE"}}))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return nil
}

func (s *session) one(ctx context.Context, q question) error {
	answers, err := s.ask(ctx, q)
	if err != nil {
		return err
	}
	return answers[0].err
}

// AtLeast says whether a version like 6.2.14 is that of a series or a later one. One that
// cannot be read is not.
func AtLeast(version string, major, minor int) bool {
	var x, y int
	if _, err := fmt.Sscanf(version, "%d.%d", &x, &y); err != nil {
		return false
	}
	return x > major || x == major && y >= minor
}
