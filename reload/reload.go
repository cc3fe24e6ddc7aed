// Package reload makes one running Redis take its certificate files anew, and
// proves what it serves.
//
// Three promises hold for every call:
//
//   - Nothing is sent to a peer that was not recognised, but a PING: by Probe, and
//     by any call whose TLS handshake gets no answer, over a second connection, to
//     tell a plaintext port from a server that hangs. Over TLS the peer is
//     recognised by its certificate, before the handshake ends; on a unix socket it
//     is on this host by nature; a plain connection is for loopback only.
//   - An answer of OK is never taken for a proof. Redis says OK to an RSA
//     certificate with an EC key and fails every handshake after it, and 7.0.0
//     says OK without opening the files. Only a fresh handshake that shows the
//     leaf is a proof: see Prove.
//   - Everything ends: each network step is bounded by Server.Timeout. A
//     plaintext port never answers a TLS handshake.
//
// The relaxed recognition, for a server whose certificate has expired, is in
// recognise.go; what Redis answers and what it means is in answer.go.
//
// A Redis may be used from several goroutines. It keeps no connection.
package reload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/secret"
)

// DefaultTimeout bounds a network step when Server.Timeout is zero.
const DefaultTimeout = 5 * time.Second

// Server is one redis-server on this host and how to talk to it.
type Server struct {
	Address string // its TLS address, host:port: what clients use, and what is proved
	Name    string // DNS name or IP address that its certificate must carry; empty: Trust.Names, all of them

	// Control is where commands go: "" for Address, "unix:/path" for a unix
	// socket, "plain:127.0.0.1:6379" for a plaintext port on loopback.
	Control string

	User     string        // ACL user; empty: the default user
	Password secret.Secret // read at each use; the zero Secret: none

	// ClientCert, a PEM file, and ClientKey are presented when Redis asks for a
	// client certificate; empty: Trust.Client. They are read at each use.
	ClientCert string
	ClientKey  secret.Secret
	// Client, when it is set, is asked instead of these two. What it returns may
	// be nil: Trust.Client.
	Client func() (*tls.Certificate, error)

	ConfigCommand string // what CONFIG is called where rename-command renamed it; empty: CONFIG

	// InsecureSkipVerify recognises any peer on loopback. It changes nothing
	// for unix sockets and is refused for all other addresses. Prove always
	// verifies.
	InsecureSkipVerify bool

	// Restart is the unit of systemd that runs it; empty: none is named. Who restarts it,
	// because it is a Sentinel, is not this package.
	Restart string

	Timeout time.Duration // of one network step; zero: DefaultTimeout

	// Warn is told, in one line, each time a peer was recognised by less than a
	// full verification, and why. Nil: nobody is.
	Warn func(msg string)
}

// Trust is by what a peer is recognised at this moment.
type Trust struct {
	Roots []*x509.Certificate // none: nobody, never the system's
	// Distrusted says that the key of a leaf may be in other hands: who shows it is told
	// nothing, whatever else speaks for it; nil: no leaf's is.
	Distrusted func(leaf *x509.Certificate) bool
	Known      func(leaf *x509.Certificate) bool // whether this agent put leaf on disk or adopted it; nil: never
	Names      []string                          // what the certificate must carry where Server.Name is empty
	Client     *tls.Certificate                  // presented when Redis asks; nil: none
	Now        func() time.Time                  // nil: time.Now
}

// Redis is one server, ready to be talked to.
type Redis struct {
	server  Server
	tickets *tickets // of ProbeBus; nil: none are noted
}

// New returns the Redis that s describes. What is wrong with s shows at the
// first call that needs it.
func New(s Server) *Redis {
	if s.Timeout <= 0 {
		s.Timeout = DefaultTimeout
	}
	if s.ConfigCommand == "" {
		s.ConfigCommand = defaultCommand
	}
	if s.Client == nil && s.ClientCert != "" {
		s.Client = s.ClientPair
	}
	return &Redis{server: s}
}

// Reloaded is a reload that Redis has answered. The zero value is one without a
// connection.
type Reloaded struct {
	// Again makes Redis read its files once more, over the connection that is still
	// open: what is in them now counts, and it works also when no new handshake
	// succeeds any longer.
	Again func(ctx context.Context) error

	// Login says why the next session would be denied, which presents t.Client: nil when it
	// would not be. It is nil itself where no client certificate of ours matters.
	Login func(ctx context.Context, t Trust) error

	// Settings is Redis.Settings over the same connection, and asks only for what the
	// reload did not need.
	Settings func(ctx context.Context) (Settings, error)

	close func()
}

// Close ends the connection, if there is one.
func (r Reloaded) Close() {
	if r.close != nil {
		r.close()
	}
}

// A Load is what Redis is to load. The zero value is what is in its files, whatever
// that may be.
type Load struct {
	Pair  *cert.Pair        // what its files hold once Ready has returned; nil: it is not looked at
	Shown *x509.Certificate // the leaf whose clients are not to be lost; nil: there is none
	Tried *Trials           // of Pair, by the servers that load it; nil: there are no others
	// Ready puts Pair there, before Redis is told, or says why not; nil: it is there.
	Ready func(Settings) error
}

// Reload makes Redis read its certificate, key and CA files again: one CONFIG
// SET of tls-cert-file to the value it has, which re-reads all of them. Before that it
// asks what Redis allows, and tries the pair with it: where that cannot work, Ready is not
// called and Redis is not told.
//
// The error is nil when Redis said OK, which proves nothing; then the connection is
// open until Close. The errors are ErrUnreachable, ErrUnrecognised, ErrDenied, ErrBusy,
// ErrRefused when Redis looked at the files and kept what it had, which carry its own
// words, ErrUnfit, and what Ready returned. ErrUncertain comes with one of them when Redis
// was told and its answer did not come: it may have done it.
func (r *Redis) Reload(ctx context.Context, t Trust, l Load) (Reloaded, error) {
	s, err := r.open(ctx, t)
	if err != nil {
		return Reloaded{}, fmt.Errorf("reload %s: %w", r.server.Address, err)
	}
	done, err := s.reload(ctx, l)
	if err != nil {
		s.close()
		return Reloaded{}, fmt.Errorf("reload %s: %w", r.server.Address, err)
	}
	done.close = s.close
	if s.to.tls && s.hello.asked && r.server.Client == nil {
		done.Login = r.logIn
	}
	return done, nil
}

// logIn opens a session as the next reload does, and asks one thing. Only a denial counts:
// a server that is busy or hangs has not judged the certificate.
func (r *Redis) logIn(ctx context.Context, t Trust) error {
	err := r.with(ctx, t, func(s *session) error {
		answers, err := s.ask(ctx, s.get("tls-cert-file"))
		if err != nil {
			return err
		}
		return answers[0].err
	})
	if errors.Is(err, ErrDenied) {
		return fmt.Errorf("log in to %s with the new certificate: %w", r.server.Address, err)
	}
	return nil
}

// reload asks for the settings, holds the pair against them, and makes Redis read its
// files.
func (s *session) reload(ctx context.Context, l Load) (done Reloaded, err error) {
	found, err := s.settings(ctx)
	if err != nil {
		return done, err
	}
	file := found.value["tls-cert-file"]
	if file == "" {
		return done, errWithoutTLS()
	}
	if l.Pair != nil {
		if err := l.Tried.try(ctx, found.Allowed, l.Pair, l.Shown); err != nil {
			return done, err
		}
	}
	if l.Ready != nil {
		if err := l.Ready(found.Settings); err != nil {
			return done, err
		}
	}
	done.Again = func(ctx context.Context) error { return s.reread(ctx, file, found.Version) }
	done.Settings = func(ctx context.Context) (Settings, error) {
		if found.denied != nil {
			return Settings{}, s.r.unsettled(found.denied)
		}
		all, err := s.withLinks(ctx, found)
		if err != nil {
			return Settings{}, s.r.unsettled(err)
		}
		return all, nil
	}
	err = done.Again(ctx)
	if errors.Is(err, ErrUnreachable) {
		return done, newFault(ErrUncertain, err, "%v", err)
	}
	return done, err
}

func errWithoutTLS() error {
	return newFault(ErrRefused, nil, "this redis serves no TLS").
		withHint("set tls-port, tls-cert-file and tls-key-file in its redis.conf and restart it once")
}

// reread makes Redis open its files again. One CONFIG SET of the same path does
// it in every version but 7.0.0, which says OK and does nothing; there a value
// that changes does it (fixed in 7.0.1 by redis/redis#10713).
func (s *session) reread(ctx context.Context, file, version string) error {
	if version == "7.0.0" {
		return s.nudge(ctx, "tls-session-cache-timeout")
	}
	return s.configSet(ctx, "tls-cert-file", file)
}

// nudge changes a number by one and back. Each of the two reads all files.
func (s *session) nudge(ctx context.Context, parameter string) error {
	answers, err := s.ask(ctx, s.get(parameter))
	if err != nil {
		return err
	}
	old, err := s.value(answers[0], parameter)
	if err != nil {
		return err
	}
	var n int
	if _, err := fmt.Sscan(old, &n); err != nil {
		return newFault(ErrRefused, err, "config get %s: %q is not a number", parameter, oneLine(old))
	}
	if err := s.configSet(ctx, parameter, fmt.Sprint(n+1)); err != nil {
		return err
	}
	return s.configSet(ctx, parameter, old)
}

// now is the wall clock by which certificates are judged.
func (t Trust) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}
