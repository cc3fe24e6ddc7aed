package reload

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// probe is a parameter that no server has, so that nothing changes when it is set.
const probe = "redis-cert-agent-rehearsal"

// Rehearse asks for everything that a reload asks for, and changes nothing: it logs in,
// reads what a reload reads, and sets a parameter that no server has. Redis looks at the
// rights of the user before it looks at the parameter, so that its answer tells whether
// CONFIG SET is allowed, in every version and without a right more than a reload needs;
// ACL DRYRUN would need one. Found says in one line what there is. The errors are those
// of Reload.
func (r *Redis) Rehearse(ctx context.Context, t Trust) (found string, err error) {
	err = r.with(ctx, t, func(s *session) error {
		answers, err := s.ask(ctx, askVersion, s.get("tls-cert-file"))
		if err != nil {
			return err
		}
		version, err := answers[0].version()
		if err != nil && !errors.Is(err, ErrDenied) {
			return err
		}
		info, _ := answers[0].reply.(string)
		if mode(info) == "sentinel" {
			found = "a Sentinel, version " + version + ": it loads its files when it starts"
			return nil
		}
		file, err := s.value(answers[1], "tls-cert-file")
		if err != nil {
			return err
		}
		if file == "" {
			return errWithoutTLS()
		}
		if err := s.maySet(ctx); err != nil {
			return err
		}
		found = fmt.Sprintf("version %s, %s may read and set its configuration, tls-cert-file is %s", version, r.server.who(), oneLine(file))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("rehearse a reload of %s: %w", r.server.Address, err)
	}
	return found, nil
}

// maySet returns why CONFIG SET would be refused whatever is set.
func (s *session) maySet(ctx context.Context) error {
	err := s.configSet(ctx, probe, "0")
	if errors.Is(err, ErrRefused) {
		return nil // it looked for the parameter
	}
	if err == nil {
		return newFault(ErrRefused, nil, "config set %s: what answers says OK to a parameter that no server has", probe).
			withHint("is config_command %q really CONFIG?", s.r.server.ConfigCommand)
	}
	return err
}

// who is the user that commands are sent as.
func (s Server) who() string {
	if s.User != "" {
		return "user " + s.User
	}
	return "the default user"
}

// Rights are what the user of the agent may do in Redis, as far as that user may see.
type Rights struct {
	User string // as Redis names it
	Rule string // its ACL rule without passwords; empty: the user may not see it, which is as it should be
}

// TooMuch says what the rule gives that a reload does not need; empty when it gives no more,
// or cannot be seen.
func (r Rights) TooMuch() string {
	if r.Rule == "" {
		return ""
	}
	var much []string
	for word := range strings.FieldsSeq(r.Rule) {
		switch {
		case word == "+@all", word == "allcommands":
			much = append(much, "every command")
		case word == "~*", word == "allkeys":
			much = append(much, "every key")
		case word == "nopass":
			much = append(much, "no password")
		}
	}
	if len(much) == 0 {
		much = append(much, "ACL LIST, which shows the rules of all users")
	}
	return strings.Join(much, ", ")
}

// Rights asks who the agent is and what it may do. A user with no more rights than it
// needs may not ask either.
func (r *Redis) Rights(ctx context.Context, t Trust) (Rights, error) {
	var found Rights
	err := r.with(ctx, t, func(s *session) error {
		answers, err := s.ask(ctx, question{"acl whoami", []any{"ACL", "WHOAMI"}})
		if err != nil {
			return err
		}
		if answers[0].err != nil {
			if errors.Is(answers[0].err, ErrDenied) {
				return nil
			}
			return answers[0].err
		}
		found.User, _ = answers[0].reply.(string)
		answers, err = s.ask(ctx, question{"acl list", []any{"ACL", "LIST"}})
		if err != nil || answers[0].err != nil {
			return err // it may know itself and no more
		}
		list, _ := answers[0].reply.([]any)
		for _, rule := range list {
			text, _ := rule.(string)
			if rest, ok := strings.CutPrefix(text, "user "+found.User+" "); ok {
				found.Rule = withoutPasswords(rest)
			}
		}
		return nil
	})
	if err != nil {
		return Rights{}, fmt.Errorf("rights at %s: %w", r.server.Address, err)
	}
	return found, nil
}

// withoutPasswords leaves the hashes of passwords out of a rule.
func withoutPasswords(rule string) string {
	var kept []string
	for word := range strings.FieldsSeq(oneLine(rule)) {
		if !strings.HasPrefix(word, "#") {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, " ")
}
