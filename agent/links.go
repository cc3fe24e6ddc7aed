package agent

import (
	"fmt"
	"time"

	"redis-cert-agent/agent/plain"
	"redis-cert-agent/reload"
)

// A link of replication or of the cluster bus survives a reload, and shows what it is worth
// when it is made anew, by whatever ends it, hours later perhaps.
const (
	settled   = time.Minute // how long a link must be down to tell more than that a server has started, or tries again
	linksEach = time.Hour   // how often links are asked about where nothing was done
)

// aboutLinks is remembered of a server's connections to others of its kind.
type aboutLinks struct {
	any     bool      // there are some that use TLS
	unclear bool      // one is down that may be up in a minute
	up      time.Time // when all of them were last seen up; zero: never
	down    time.Time // since when one is not; zero: all are up
	loaded  time.Time // when the server last loaded a certificate; zero: it has not
}

// learn takes note of what a server says of its links, and returns what is wrong with them.
func (l *aboutLinks) learn(now time.Time, said reload.Links) (fault string) {
	l.any = said.Any
	switch {
	case said.Down == "":
		if l.down = (time.Time{}); said.Any {
			l.up = now
		}
		return ""
	case l.down.IsZero():
		l.down = now.Add(-said.For)
	}
	if now.Sub(l.down) < settled {
		l.unclear = true
		return ""
	}
	text := fmt.Sprintf("%s is down since %s", said.Down, plain.Time(l.down))
	if !l.up.IsZero() && !l.loaded.IsZero() && !l.down.Before(l.loaded.Add(-settled)) {
		text += fmt.Sprintf(", after the certificate that was loaded at %s (last seen up at %s)", plain.Time(l.loaded), plain.Time(l.up))
	}
	return text + ": `redis-cert-agent check`, as root on its host, tries the connection as the server makes it; the logs of both ends say who refuses whom"
}

// next returns when to ask about links that were up: once soon after a load, and now and then.
func (l *aboutLinks) next(inspected time.Time) time.Time {
	if soon := l.loaded.Add(settled); inspected.Before(soon) {
		return soon
	}
	return inspected.Add(linksEach)
}
