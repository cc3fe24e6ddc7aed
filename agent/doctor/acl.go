package doctor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/daemon"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/reload"
)

// acl asks every server what the agent's user may do beyond a reload, and what the
// certificate is used for there.
func (v *visit) acl(ctx context.Context) {
	facts, err := daemon.New(v.c, v.Version, slog.New(slog.DiscardHandler)).Ask(ctx)
	if err != nil {
		v.say(Unknown, ACL, "", err.Error(), "")
		return
	}
	for _, f := range facts {
		if f.Err != nil {
			if v.running { // it has other credentials, and its lines are above
				v.say(Unknown, ACL, f.Address, f.Err.Error(), "sudo "+v.command())
			}
			continue
		}
		if !f.Settings.Sentinel {
			v.tooMuch(f)
		}
		v.usages(f)
	}
}

func (v *visit) tooMuch(f daemon.ServerFacts) {
	much := f.Rights.TooMuch()
	if much == "" {
		v.say(OK, ACL, f.Address, "the agent's user has no right to see or change users, as it should be", "")
		return
	}
	name := f.Rights.User
	if name == "default" {
		name = "agent"
	}
	v.say(Warning, ACL, f.Address, fmt.Sprintf("user %s has more than a reload needs: %s", f.Rights.User, much),
		fmt.Sprintf("ACL SETUSER %s reset on >PASSWORD +config|get +config|set +info +ping, and user: %[1]s in %s", name, v.Config))
}

// usages holds what the certificate is used for at a server against what it may be used for.
func (v *visit) usages(f daemon.ServerFacts) {
	s := f.Settings
	if s.AutoReload > 0 {
		v.say(Warning, Restarts, f.Address, fmt.Sprintf("it looks for changed files itself, every %s, and may load them late (valkey-io/valkey#3549)", s.AutoReload), "CONFIG SET tls-auto-reload-interval 0")
	}
	if s.Sentinel || v.s.Newest() == nil {
		return
	}
	state, err := pair.Read(v.c.Pair)
	if v.c.External {
		state, err = pair.ReadExternal(v.c.Pair.External())
	}
	if err != nil || state.Current == nil || state.Current.Err != nil {
		return // the proof says so
	}
	leaf := state.Current.Pair.Leaf()
	switch able := cert.CanAuthenticateClients(leaf); {
	case s.ClientAuth && able:
		v.say(OK, Usages, f.Address, "it presents the certificate as a client too (replication, cluster bus or tls-auth-clients), which the certificate is good for", "")
	case s.ClientAuth:
		v.say(Fault, Usages, f.Address, "it presents the certificate as a client too (replication, cluster bus or tls-auth-clients), and the certificate lacks clientAuth: the other side refuses it at the next connection", "set usages: [server, client] in "+v.Config+", or tls-client-cert-file and tls-client-key-file in redis.conf")
	default:
		v.say(OK, Usages, f.Address, "it uses the certificate as a server only", "")
	}
}

// restarts names what loads the pair only when it starts.
func (v *visit) restarts(context.Context) {
	cert := v.c.Pair.Named().Cert
	for _, s := range v.host.places.Find().Servers {
		if s.Sentinel && v.loads(s, cert) && v.restarted(s.Address()) {
			v.say(OK, Restarts, s.String(), "a Sentinel reads its certificate only when it starts: its unit is restarted after each renewal, when its group can spare it", "")
		} else if s.Sentinel && v.loads(s, cert) {
			v.say(Warning, Restarts, s.String(), "a Sentinel reads its certificate only when it starts: after each renewal it needs a restart", "systemctl restart redis-sentinel; one Sentinel of a group after the other, when SENTINEL CKQUORUM allows it; or list it with restart: in "+v.Config+" (/usr/share/doc/redis-cert-agent/sentinel.md)")
		}
	}
	for _, s := range v.s.Servers {
		if s.Hint != "" && s.Note != "" && s.Error == "" { // of a Sentinel that shows an old one
			v.say(Warning, Restarts, s.Address, s.Note, s.Hint)
		}
	}
}

// restarted says whether the configuration has the unit of the Sentinel at address restarted.
func (v *visit) restarted(address string) bool {
	return slices.ContainsFunc(v.c.Servers, func(s reload.Server) bool { return s.Address == address && s.Restart != "" })
}
