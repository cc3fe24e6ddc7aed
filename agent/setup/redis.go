package setup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/reload"
)

// rules are what the agent's own user in Redis may do: see docs/setup.md.
var rules = []string{"+config|get", "+config|set", "+info", "+ping"}

func randomPassword() []byte {
	var raw [24]byte
	rand.Read(raw[:]) // never fails, see crypto/rand
	return []byte(hex.EncodeToString(raw[:]))
}

// redis plans what makes each server load the pair, or says it where a person is to do it.
// A server that is to be changed and does not answer is an error.
func (b *builder) redis() error {
	for _, s := range b.servers {
		if !s.plain {
			b.loads(s)
			continue
		}
		if b.Apply && s.unasked != nil {
			return s.unasked
		}
		if !b.live(s) {
			b.byHand(s)
			continue
		}
		b.add(b.change(s))
	}
	return nil
}

// loads says what a server with TLS needs that loads other files.
func (b *builder) loads(s found) {
	own := b.Plan.Config.Pair.Named()
	if s.Cert == "" || s.Cert == own.Cert {
		return
	}
	b.note("%s loads %s. Let it load the agent's pair: put these lines into %s and restart it, or send them as one CONFIG SET (Redis 7 and later):\n%s",
		s, s.Cert, orThe(s.Conf), lines(b.files()))
}

// live says whether a server is given TLS while it runs. Redis 6.0 takes tls-port at its
// start only; a server that was not asked has no version.
func (b *builder) live(s found) bool {
	return b.Apply && s.Running != nil && reload.AtLeast(s.Version, 6, 2)
}

// byHand says what makes a server serve TLS.
func (b *builder) byHand(s found) {
	or := ""
	switch {
	case !b.Apply:
		or = ", or run init again with --apply, which does it without a restart from Redis 6.2 on"
	case s.Running != nil:
		or = "; before Redis 6.2 it takes them in no other way"
	}
	b.note("%s serves no TLS yet. Put these lines into %s and restart it%s:\n%s", s, orThe(s.Conf), or, lines(b.wanted(s)))
	if b.RedisUser != "" {
		b.note("The user of the agent in Redis, with the password in %s:\n    ACL SETUSER %s on >PASSWORD %s", b.credential("redis-password"), b.RedisUser, strings.Join(rules, " "))
	}
}

func orThe(conf string) string {
	if conf == "" {
		return "its redis.conf"
	}
	return conf
}

// files are the parameters that name the pair.
func (b *builder) files() []reload.Parameter {
	p := b.Plan.Config.Pair.Named()
	return []reload.Parameter{{Name: "tls-cert-file", Value: p.Cert}, {Name: "tls-key-file", Value: p.Key}, {Name: "tls-ca-cert-file", Value: p.CA}}
}

// wanted are the parameters with which a server serves TLS. The port comes last: with it
// Redis loads the files.
func (b *builder) wanted(s found) []reload.Parameter {
	all := b.files()
	if b.AuthClients != "" {
		all = append(all, reload.Parameter{Name: "tls-auth-clients", Value: b.AuthClients})
	}
	return append(all, reload.Parameter{Name: "tls-port", Value: s.address[strings.LastIndex(s.address, ":")+1:]})
}

func lines(all []reload.Parameter) string {
	var text []string
	for _, p := range all {
		text = append(text, fmt.Sprintf("    %s %s", p.Name, p.Value))
	}
	return strings.Join(text, "\n")
}

// change is the action that makes a running server serve TLS with the pair, on a port more.
func (b *builder) change(s found) action {
	want := b.wanted(s)
	at := server{Address: s.PlainAddress(), Control: s.control}
	if at.Address == "" {
		at.Address = s.Socket
	}
	redis := via(at.Address, at.Control, b.RedisPassword)
	shows := []string{}
	now, unknown := at, errors.New("redis was not asked what it has")
	for _, p := range want {
		shows = append(shows, fmt.Sprintf("%-18s %s", p.Name, p.Value))
	}
	if b.RedisUser != "" {
		shows = append(shows, fmt.Sprintf("%-18s %s", "user "+b.RedisUser, strings.Join(rules, " ")))
	}
	return action{
		what:  fmt.Sprintf("set this in redis at %s, and write its configuration (CONFIG SET, CONFIG REWRITE)", at.Address),
		shows: shows,
		done: func(ctx context.Context) bool {
			now.Before, unknown = parameters(ctx, redis, want)
			return unknown == nil && same(now.Before, want)
		},
		before: func() (entry, error) {
			if unknown != nil {
				return entry{}, unknown
			}
			if b.RedisUser != "" {
				now.User = b.RedisUser
			}
			return entry{Redis: &now}, nil
		},
		do: func(ctx context.Context) error {
			c := reload.Change{Parameters: want}
			if b.RedisUser != "" {
				acl, err := b.acl()
				if err != nil {
					return err
				}
				c.ACL = acl
			}
			return redis.Configure(ctx, reload.Trust{}, c)
		},
	}
}

// acl makes the agent's user of the password in its file. Redis gets a hash of it, so
// that none who watches the commands sees the password.
func (b *builder) acl() ([]string, error) {
	text, err := disk.Read(b.credential("redis-password"), maxFile)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(strings.TrimSuffix(string(text), "\n")))
	return append([]string{b.RedisUser, "on", "#" + hex.EncodeToString(hash[:])}, rules...), nil
}

// parameters returns what a server has now, the last first: the order in which it takes
// them back.
func parameters(ctx context.Context, redis *reload.Redis, want []reload.Parameter) ([]reload.Parameter, error) {
	var names []string
	for _, p := range want {
		names = append([]string{p.Name}, names...)
	}
	d, err := redis.Describe(ctx, reload.Trust{}, names...)
	if err != nil {
		return nil, err
	}
	var all []reload.Parameter
	for _, name := range names {
		all = append(all, reload.Parameter{Name: name, Value: d.Values[name]})
	}
	return all, nil
}

// same says whether a server has what is wanted.
func same(has, want []reload.Parameter) bool {
	for i, p := range want {
		if has[len(has)-1-i] != p {
			return false
		}
	}
	return true
}
