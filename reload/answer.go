package reload

import (
	"errors"
	"net"
	"strings"
)

// answers are the error replies that people meet: how each begins, what kind of
// error it is, and the hint. {user} stands for the ACL user of the agent.
var answers = []struct {
	prefix string
	kind   error
	hint   string
}{
	{"NOAUTH", ErrDenied, "redis wants a password: set password_file of this server, and user for an ACL user"},
	{"WRONGPASS", ErrDenied, "redis knows no user {user} with this password, or has it disabled: check user and password_file of this server"},
	{"ERR AUTH <password> called without", ErrDenied, "the default user has no password: remove password_file of this server, or set user"},
	{"ERR invalid password", ErrDenied, "check password_file of this server"},
	{"NOPERM", ErrDenied, "allow it: ACL SETUSER {user} +config|get +config|set +info +ping"},
	{"ERR unknown command", ErrDenied, "rename-command renamed or removed it on this server: set config_command to its new name (a Sentinel has none, and takes new files by a restart only)"},
	{"DENIED", ErrDenied, "protected mode lets only loopback in without a password: use a loopback address, or control: unix:/path"},
	{"ERR max number of clients", ErrBusy, "raise maxclients, or wait until clients leave"},
	{"LOADING", ErrBusy, "it loads its data: wait"},
	{"BUSY", ErrBusy, "a script runs: wait for it, or end it by SCRIPT KILL"},
	{"ERR CONFIG SET failed", ErrRefused, unloadable},  // 7.0 and later
	{"ERR Invalid argument", ErrRefused, unloadable},   // 6.x
	{"ERR Unknown option", ErrRefused, withoutTLS},     // 7.0 and later
	{"ERR Unsupported CONFIG", ErrRefused, withoutTLS}, // 6.x
}

const (
	unloadable = "it keeps serving what it had; the reason is in the redis log, mostly that the user redis cannot read the files, or that certificate and key do not belong together"
	withoutTLS = "this redis was built without TLS"
)

// answerFault returns the error that an error reply means. Name is that of the command.
func (r *Redis) answerFault(name, words string) *fault {
	// Redis quotes the arguments of a command that it does not know. Of AUTH
	// they are the password.
	words, _, _ = strings.Cut(words, ", with args beginning with")
	user := r.server.User
	if user == "" {
		user = "default"
	}
	for _, a := range answers {
		if strings.HasPrefix(words, a.prefix) {
			return newFault(a.kind, nil, "%s: redis says %q", name, oneLine(words)).
				withHint("%s", strings.ReplaceAll(a.hint, "{user}", user))
		}
	}
	return newFault(ErrRefused, nil, "%s: redis says %q", name, oneLine(words))
}

// linkFault explains a connection that broke while a command was under way.
// first is whether nothing had been answered on it before.
func (s *session) linkFault(name string, first bool, err error) error {
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return newFault(ErrUnreachable, err, "%s: no answer within %s", name, s.r.server.Timeout).
			withHint("redis-server is paused, stopped or stuck")
	case first && s.to.tls && s.hello.asked && (hungUp(err) || alert(err) != ""):
		return s.hello.clientFault(err)
	case first && s.to.loopback && !s.to.tls && (hungUp(err) || errors.Is(err, errNotRESP)):
		return newFault(ErrUnreachable, err, "%s: %s does not speak plaintext Redis: a tls-port?", name, s.to.addr).
			withHint("set control to plain: and the plaintext port of this server, or leave it out")
	case first && hungUp(err):
		return newFault(ErrUnreachable, err, "%s: %s closed the connection (%v)", name, s.to.addr, err).
			withHint("maxclients is reached, or redis-server is ending")
	case errors.Is(err, errNotRESP):
		return newFault(ErrUnreachable, err, "%s: %v", name, err).
			withHint("what listens at %s is no redis-server, or something between changes its answers", s.to.addr)
	}
	return newFault(ErrUnreachable, err, "%s: %v", name, err)
}
