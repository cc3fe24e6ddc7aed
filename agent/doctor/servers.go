package doctor

import (
	"context"
	"fmt"

	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/status"
)

// servers tells what the rehearsal and the last look found of each.
func (v *visit) servers(context.Context) {
	if !v.looked {
		return
	}
	told := map[string]bool{}
	for _, f := range v.findings(status.NeedServer) {
		v.finding(Servers, f)
		told[f.Subject] = f.Fault != ""
	}
	for _, s := range v.s.Servers {
		if s.Fault != "" && !told[s.Address] {
			found, remedy := split(s.Fault, s.Hint)
			v.say(Fault, Servers, s.Address, found, remedy)
		}
	}
	if v.s.Missing != "" {
		found, remedy := split(v.s.Missing, "")
		v.say(Fault, Servers, "", found, remedy)
	} else if len(v.s.Servers) == 0 {
		v.say(Warning, Servers, "", "the configuration names none", "add servers: [auto] to "+v.Config)
	}
}

// notify tells whether people could be told.
func (v *visit) notify(context.Context) {
	for _, f := range v.findings(status.NeedNotify) {
		v.finding(Notify, f)
	}
}

// proof tells what each server shows.
func (v *visit) proof(context.Context) {
	if !v.looked {
		return
	}
	newest := v.s.Newest()
	switch {
	case newest == nil:
		v.say(Fault, Proof, "", "there is no certificate on disk", "redis-cert-agent renew --config "+v.Config)
		return
	case !v.s.Now.Before(newest.NotAfter):
		v.say(Fault, Proof, "", fmt.Sprintf("the certificate on disk, serial %s, expired %s", newest.Serial, plain.Ago(v.s.Now, newest.NotAfter)), "redis-cert-agent renew --config "+v.Config)
	default:
		v.say(OK, Proof, "", fmt.Sprintf("the certificate on disk, serial %s, is valid until %s", newest.Serial, plain.Time(newest.NotAfter)), "")
	}
	for _, s := range v.s.Servers {
		switch s.State {
		case status.Proven:
			v.say(OK, Proof, s.Address, "a fresh handshake shows it, as clients accept it", "")
		case status.Unreachable:
			v.say(Fault, Proof, s.Address, orElse(s.Error, "no TLS handshake"), "ss -ltnp; and tls-port in redis.conf")
		default:
			v.say(Fault, Proof, s.Address, fmt.Sprintf("it shows serial %s: %s", orElse(s.ServedSerial, "none"), orElse(s.Error, string(s.State))), orElse(s.Hint, "redis-cert-agent renew --config "+v.Config))
		}
	}
}
