// Package reload makes one running Redis take its certificate files anew, and
// proves what it serves.
//
// Three promises hold for every call:
//
//   - Nothing is sent to a peer that was not recognised: no password, and no
//     command but the PING of Visit. Over TLS the peer is recognised by its
//     certificate, before the handshake ends; on a unix socket it is on this
//     host by nature; a plain connection is for loopback only.
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

	User     string                 // ACL user; empty: the default user
	Password func() (string, error) // read at each use; nil: none

	// Client is presented when Redis asks for a client certificate. Nil, the
	// function or what it returns: Trust.Client.
	Client func() (*tls.Certificate, error)

	ConfigCommand string // what CONFIG is called where rename-command renamed it; empty: CONFIG

	// InsecureSkipVerify recognises any peer on loopback. It changes nothing
	// for unix sockets and is refused for all other addresses. Prove always
	// verifies.
	InsecureSkipVerify bool

	Timeout time.Duration // of one network step; zero: DefaultTimeout

	// Warn is told, in one line, each time a peer was recognised by less than a
	// full verification, and why. Nil: nobody is.
	Warn func(msg string)
}

// Trust is by what a peer is recognised at this moment.
type Trust struct {
	Roots  *x509.CertPool                    // nil: none, never the system's
	Known  func(leaf *x509.Certificate) bool // whether this agent put leaf on disk or adopted it; nil: never
	Names  []string                          // what the certificate must carry where Server.Name is empty
	Client *tls.Certificate                  // presented when Redis asks; nil: none
	Now    func() time.Time                  // nil: time.Now
}

// Redis is one server, ready to be talked to.
type Redis struct{ server Server }

// New returns the Redis that s describes. What is wrong with s shows at the
// first call that needs it.
func New(s Server) *Redis {
	if s.Timeout <= 0 {
		s.Timeout = DefaultTimeout
	}
	if s.ConfigCommand == "" {
		s.ConfigCommand = "CONFIG"
	}
	return &Redis{server: s}
}

// Reload makes Redis read its certificate, key and CA files again: one CONFIG
// SET of tls-cert-file to the value it has, which re-reads all of them.
//
// It returns nil when Redis said OK, which proves nothing. The errors are
// ErrUnreachable, ErrUnrecognised, ErrDenied, ErrBusy, and ErrRefused when
// Redis looked at the files and kept what it had; they carry its own words.
func (r *Redis) Reload(ctx context.Context, t Trust) error {
	err := r.with(ctx, t, func(s *session) error {
		answers, err := s.ask(ctx, s.get("tls-cert-file"), askVersion)
		if err != nil {
			return err
		}
		file, err := s.value(answers[0], "tls-cert-file")
		if err != nil {
			return err
		}
		if file == "" {
			return newFault(ErrRefused, nil, "this redis serves no TLS: set tls-port, tls-cert-file and tls-key-file in its redis.conf and restart it once")
		}
		version, err := answers[1].version()
		if err != nil && !errors.Is(err, ErrDenied) { // INFO may be denied: it is needed for one old version only
			return err
		}
		return s.reread(ctx, file, version)
	})
	if err != nil {
		return fmt.Errorf("reload %s: %w", r.server.Address, err)
	}
	return nil
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

// roots is never nil: to x509 a nil pool means the roots of the system.
func (t Trust) roots() *x509.CertPool {
	if t.Roots == nil {
		return x509.NewCertPool()
	}
	return t.Roots
}
