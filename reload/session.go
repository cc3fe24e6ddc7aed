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
	r      *Redis
	to     route
	hello  greeting // of a TLS route
	conn   *redis.Conn
	spoken bool // the peer has answered once
}

// with opens a session, does its work, and leaves nothing behind.
func (r *Redis) with(ctx context.Context, t Trust, work func(*session) error) error {
	to, err := r.server.control()
	if err != nil {
		return err
	}
	s := &session{r: r, to: to}
	link, err := s.link(ctx, t)
	if err != nil {
		return err
	}
	defer link.Close()
	// go-redis heeds the deadline of a context, and not its end.
	defer context.AfterFunc(ctx, func() { link.Close() })()
	client := redis.NewClient(r.options(link))
	defer client.Close()
	client.AddHook(noHello{})
	s.conn = client.EphemeralConn()
	defer s.conn.Close()
	if err := s.authenticate(ctx); err != nil {
		return err
	}
	return work(s)
}

// link is the connection under the session, to a peer that was recognised.
func (s *session) link(ctx context.Context, t Trust) (net.Conn, error) {
	if !s.to.tls {
		return s.r.connect(ctx, s.to)
	}
	var relaxed string
	g, err := s.r.greet(ctx, s.to, t, func(chain []*x509.Certificate, remote net.Addr) (err error) {
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

// noHello keeps HELLO to ourselves, which go-redis sends first on every
// connection. A minimal ACL user of Redis 6.0 is denied it, each denial is an
// entry in the server's ACL LOG, and RESP2 needs no introduction.
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

// authenticate sends AUTH when there is anything to say.
func (s *session) authenticate(ctx context.Context) error {
	var password string
	if s.r.server.Password != nil {
		var err error
		if password, err = s.r.server.Password(); err != nil {
			return fmt.Errorf("redis password: %w", err)
		}
	}
	command := []any{"AUTH"}
	if s.r.server.User != "" {
		command = append(command, s.r.server.User)
	} else if password == "" {
		return nil
	}
	_, err := s.do(ctx, "auth", append(command, password)...)
	return err
}

// version is redis_version of INFO. Valkey says which Redis it is like.
func (s *session) version(ctx context.Context) (string, error) {
	reply, err := s.do(ctx, "info server", "INFO", "server")
	if err != nil {
		return "", err
	}
	text, _ := reply.(string)
	return redisVersion(text), nil
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

// configGet returns the values of parameters, empty where this server does not
// know one. A command for each: 6.x takes no more, and a wildcard over tls-*
// would show the password of the key file. They are sent together and cost one
// round trip.
func (s *session) configGet(ctx context.Context, parameters ...string) (map[string]string, error) {
	batch := s.conn.Pipeline()
	for _, p := range parameters {
		batch.Do(ctx, s.r.server.ConfigCommand, "GET", p)
	}
	answers, _ := batch.Exec(ctx) // each answer has its own error
	values := make(map[string]string)
	for i, p := range parameters {
		reply, err := s.judge(ctx, "config get "+p, answers[i].(*redis.Cmd))
		if err != nil {
			return nil, err
		}
		pairs, ok := reply.([]any)
		if ok && len(pairs) == 0 {
			continue
		}
		if ok = ok && len(pairs) == 2; ok {
			values[p], ok = pairs[1].(string)
		}
		if !ok {
			return nil, newFault(ErrRefused, nil, "config get %s: the answer is not a parameter and its value: is config_command %q really CONFIG?", p, s.r.server.ConfigCommand)
		}
	}
	return values, nil
}

func (s *session) configSet(ctx context.Context, parameter, value string) error {
	_, err := s.do(ctx, "config set "+parameter, s.r.server.ConfigCommand, "SET", parameter, value)
	return err
}

// do sends one command. deed names it in errors, without its secrets.
func (s *session) do(ctx context.Context, deed string, command ...any) (any, error) {
	return s.judge(ctx, deed, s.conn.Do(ctx, command...))
}

// judge returns the answer to a command, or what its error means.
func (s *session) judge(ctx context.Context, deed string, command *redis.Cmd) (any, error) {
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
		return nil, s.r.answerFault(deed, words.Error())
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, s.linkFault(deed, first, err)
}
