package status

import (
	"redis-cert-agent/agent/plain"
)

// What can be asked of readiness, each more than the one that follows.
const (
	ReadyServers = "servers" // every server is proven to show the pair
	ReadyPair    = "pair"    // a valid pair is on disk, so that a server can start
	ReadyAgent   = "agent"   // the agent answers
)

// ReadyKinds are all of them.
var ReadyKinds = []string{ReadyServers, ReadyPair, ReadyAgent}

// Ready says whether what is well, and in one line why, or why not. A problem that leaves
// clients untouched, as an authority that is down, is not what it is about.
func (s Status) Ready(what string) (ok bool, text string) {
	switch {
	case what == ReadyAgent:
		return true, "ready: the agent answers"
	case s.Pair == nil:
		return false, "not ready: there is no certificate on disk"
	case !s.Now.Before(s.Pair.NotAfter):
		return false, "not ready: the certificate on disk has expired, at " + plain.Time(s.Pair.NotAfter)
	case s.Now.Before(s.Pair.NotBefore):
		return false, "not ready: the certificate on disk is not valid before " + plain.Time(s.Pair.NotBefore)
	case what == ReadyPair:
		return true, "ready: the certificate on disk is valid until " + plain.Time(s.Pair.NotAfter)
	}
	for _, server := range s.Servers {
		if server.State != Proven {
			return false, "not ready: " + s.ServersProven() + "; " + server.Address + " is " + string(server.State)
		}
	}
	return true, "ready: " + s.ServersProven() + ", valid until " + plain.Time(s.Pair.NotAfter)
}
