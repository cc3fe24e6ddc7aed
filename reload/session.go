package reload

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// session is one authenticated connection to a recognised peer.
type session struct {
	r       *Redis
	to      route
	hello   handshake // of a TLS route
	conn    *redis.Conn
	replies *replies // what of its answers passes
	login   []any    // the AUTH that has not been sent yet; nil: none
	spoken  bool     // the peer has answered once
	close   func()
}

// open begins a session, which must be closed. AUTH goes with the first question.
func (r *Redis) open(ctx context.Context, t Trust) (*session, error) {
	to, err := r.server.control()
	if err != nil {
		return nil, err
	}
	s := &session{r: r, to: to}
	link, err := s.link(ctx, t)
	if err != nil {
		return nil, err
	}
	// go-redis heeds the deadline of a context, and not its end.
	stop := context.AfterFunc(ctx, func() { link.Close() })
	s.replies = newReplies(link)
	client := redis.NewClient(r.options(s.replies))
	client.AddHook(noHello{})
	s.conn = client.EphemeralConn()
	s.close = func() {
		s.conn.Close()
		client.Close()
		stop()
		link.Close()
	}
	if s.login, err = r.login(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// with opens a session, does its work, and leaves nothing behind.
func (r *Redis) with(ctx context.Context, t Trust, work func(*session) error) error {
	s, err := r.open(ctx, t)
	if err != nil {
		return err
	}
	defer s.close()
	return work(s)
}

// link is the connection under the session, to a peer that was recognised.
func (s *session) link(ctx context.Context, t Trust) (net.Conn, error) {
	if !s.to.tls {
		conn, err := s.r.connect(ctx, s.to)
		if err != nil {
			return nil, err
		}
		if err := checkPeer(s.to, conn); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
	var relaxed string
	g, err := s.r.handshake(ctx, s.to, t, func(chain []*x509.Certificate, remote net.Addr) (err error) {
		relaxed, err = s.r.recognise(t, chain, remote)
		return err
	})
	s.hello = g
	if g.clientErr != nil {
		if g.conn != nil {
			g.conn.Close()
		}
		return nil, fmt.Errorf("client certificate: %w", g.clientErr)
	}
	if err != nil {
		return nil, err
	}
	if relaxed != "" && s.r.server.Warn != nil {
		s.r.server.Warn(oneLine(relaxed))
	}
	return g.conn, nil
}

// options make go-redis speak over link and do nothing of its own accord: no
// second connection, no retry, no pool, none of the commands by which it
// introduces itself and which a minimal ACL user may not send.
func (r *Redis) options(link net.Conn) *redis.Options {
	used := false
	return &redis.Options{
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			if used {
				return nil, net.ErrClosed // the first one ended, and one is all there is
			}
			used = true
			return link, nil
		},
		Protocol:                 2,
		MaxRetries:               -1,
		DialerRetries:            1,
		PoolSize:                 1,
		PipelinePoolSize:         -1,
		ReadBufferSize:           4 << 10,
		WriteBufferSize:          4 << 10,
		ReadTimeout:              r.server.Timeout,
		WriteTimeout:             r.server.Timeout,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// noHello does not send the HELLO with which go-redis begins every connection. A
// minimal ACL user of Redis 6.0 is denied it, each denial is an entry in the server's
// ACL LOG, and RESP2 works without it.
type noHello struct{}

func (noHello) DialHook(next redis.DialHook) redis.DialHook { return next }

func (noHello) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hello" {
			return nil
		}
		return next(ctx, cmd)
	}
}

func (noHello) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// login returns the AUTH to send; nil when there is nothing to say.
func (r *Redis) login() ([]any, error) {
	var password string
	if r.server.Password.Set() {
		var err error
		if password, err = r.server.Password.Text(); err != nil {
			return nil, fmt.Errorf("redis password: %w", err)
		}
	}
	switch {
	case r.server.User != "":
		return []any{"AUTH", r.server.User, password}, nil
	case password != "":
		return []any{"AUTH", password}, nil
	}
	return nil, nil
}

// A question is one command. Its name stands for it in errors, without the secrets
// among its arguments.
type question struct {
	name    string
	command []any
}

// An answer is what Redis said to one question, or what its error means.
type answer struct {
	reply any
	err   error
}

// ask sends questions together, which costs one round trip, and returns their
// answers. The error is that of a refused AUTH, after which none counts.
func (s *session) ask(ctx context.Context, questions ...question) ([]answer, error) {
	if s.login != nil {
		questions = append([]question{{"auth", s.login}}, questions...)
	}
	batch := s.conn.Pipeline()
	for _, q := range questions {
		batch.Do(ctx, q.command...)
	}
	said, _ := batch.Exec(ctx) // each answer has its own error
	answers := make([]answer, len(questions))
	for i, q := range questions {
		answers[i].reply, answers[i].err = s.interpret(ctx, q.name, said[i].(*redis.Cmd))
	}
	if s.login != nil {
		if err := answers[0].err; err != nil {
			return nil, err
		}
		s.login, answers = nil, answers[1:]
	}
	return answers, nil
}

// askVersion asks for redis_version. Valkey says which Redis it is like.
var askVersion = question{"info server", []any{"INFO", "server"}}

func (a answer) version() (string, error) {
	text, _ := a.reply.(string)
	return redisVersion(text), a.err
}

// redisVersion finds the version in what INFO server says; empty: none.
func redisVersion(info string) string {
	for line := range strings.Lines(info) {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return oneLine(strings.TrimSpace(version))
		}
	}
	return ""
}

// get asks for a parameter. One at a time: 6.x takes no more, and a wildcard
// over tls-* would show the password of the key file.
func (s *session) get(parameter string) question {
	return question{"config get " + parameter, []any{s.r.server.ConfigCommand, "GET", parameter}}
}

// value returns what get asked for, empty when this server does not know it.
func (s *session) value(a answer, parameter string) (string, error) {
	if a.err != nil {
		return "", a.err
	}
	pairs, ok := a.reply.([]any)
	if ok && len(pairs) == 0 {
		return "", nil
	}
	if ok && len(pairs) == 2 {
		if value, ok := pairs[1].(string); ok {
			return value, nil
		}
	}
	return "", newFault(ErrRefused, nil, "config get %s: the answer is not a parameter and its value", parameter).
		withHint("is config_command %q really CONFIG?", s.r.server.ConfigCommand)
}

func (s *session) configSet(ctx context.Context, parameter, value string) error {
	answers, err := s.ask(ctx, question{"config set " + parameter, []any{s.r.server.ConfigCommand, "SET", parameter, value}})
	if err != nil {
		return err
	}
	return answers[0].err
}

// byCertificate adds to a denial that another client certificate may help: where no password
// is sent, redis may take the client by the name in its certificate for one of its users
// (tls-auth-clients-user).
func (s *session) byCertificate(err *fault) error {
	if err.kind != ErrDenied || !s.to.tls || s.hello.presented == nil || s.r.server.User != "" || s.r.server.Password.Set() {
		return err
	}
	err.cause = ErrClientCertificate
	return err
}

// interpret returns the answer to a command, or what its error means.
func (s *session) interpret(ctx context.Context, name string, command *redis.Cmd) (any, error) {
	reply, err := command.Result()
	first := !s.spoken
	var words redis.Error
	if err == nil || errors.As(err, &words) {
		s.spoken = true
	}
	switch {
	case err == nil, errors.Is(err, redis.Nil):
		return reply, nil
	case words != nil:
		return nil, s.byCertificate(s.r.answerFault(name, words.Error()))
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, s.linkFault(name, first, err)
}
