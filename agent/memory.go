package agent

import (
	"crypto/x509"
	"maps"
	"sync"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// What an agent remembers ends with what it is about: the newest pair, a server, the
// files that other programs put there, the process. Nothing that went wrong can
// outlive its cause by being kept in the wrong place.

// aboutNewest is remembered of the newest pair and of what is done to replace it. It
// is forgotten when another pair becomes the newest.
type aboutNewest struct {
	leaf cert.Fingerprint // of the pair; zero while there is none

	suggested plan.Window // when the authority wants it renewed (RFC 9773); zero when it has not said
	explained string      // the URL at which it says why; empty when it does not
	recalled  bool        // it moved the window from the future into the past
	atOnce    bool        // and the next certificate is not put off for it being a new one
	askAgain  time.Time   // when to ask for that window again
	askFailed int         // how many times in a row it did not answer

	issuing     plan.Attempts // failures to get the next pair
	issueFailed status.Failure
	authorities []plan.Attempts // of each authority: failures since it last gave a certificate
	unsaved     *candidate      // issued, but the disk did not take it, or it is not valid yet
	refused     bool            // a server looked at it and refused it, or did not prove it

	switching plan.Attempts // failures to make it current, where there is no server

	rehearsal aboutRehearsal

	servers []loading // by their order
}

// loading is how a server takes the newest pair.
type loading struct {
	proven bool          // a handshake has shown the newest leaf as clients accept it
	behind bool          // the pair was changed, but for its leaf, since the server loaded it
	judged bool          // it refused it, or did not prove it
	undone bool          // it ended all handshakes there and was taken back: it is not tried again
	failed plan.Attempts // failures to load it
	err    error         // the last of them

	restart restarting // of a Sentinel's unit
}

// aboutServer is remembered of a server, whatever it is to load.
type aboutServer struct {
	fresh     bool                // shown is from this round, and nothing has been done to the server since
	shown     []*x509.Certificate // the chain of the last handshake; nil when it failed
	answers   bool                // the last handshake failed because the server ended it
	seen      bool                // there was a handshake, or an attempt at one
	inspected time.Time           // when it was last asked what a reload needs; zero: it is to be asked
	link      aboutLinks          // its connections to others of its kind
	again     time.Time           // when to look at it again, since it may load files itself and late; zero: as at others
	autoLoad  time.Duration       // how often it looks for changed files itself; zero: never
	sentinel  bool                // it reads its files only when it starts
	restartAt time.Time           // when its unit may be restarted again
	fault     string              // what a reload would meet; empty when nothing is known

	state status.ServerState // as last told
	since time.Time          // since when
}

// leaf returns what the server showed last; nil when it was not reached.
func (s aboutServer) leaf() *x509.Certificate {
	if len(s.shown) == 0 {
		return nil
	}
	return s.shown[0]
}

// aboutFiles is remembered of files that another program puts there.
type aboutFiles struct {
	fault    string        // what is wrong with them, as it was logged; empty when nothing is
	faultAt  time.Time     // since when
	broken   time.Time     // when they were seen to be unreadable or mismatched; zero when they are not
	adopting plan.Attempts // failures to take them in

	// Of a pair.External.
	good     *pair.Generation // the latest that was good; nil before
	former   *pair.Generation // the good one before it
	complete *pair.Generation // had its time to be finished, whatever it is worth
	logged   *pair.Generation // its fault was logged
	keyFault string           // why its key cannot be read, as it was logged
	unread   string           // what of it this program cannot judge, as it was logged
}

// aboutProcess is remembered until the agent ends.
type aboutProcess struct {
	running    bool          // in Run, not for one look
	looked     bool          // the disk was read once
	ready      bool          // systemd was told READY
	clockFault string        // why a clock holds back a certificate, as it was logged
	disk       pair.State    // as the last round left it
	unread     time.Time     // since when the newest or the current pair cannot be read; zero when it can
	recall     status.Recall // the last certificate that its authority wanted replaced at once
	explained  string        // the URL of the last explanation of a window that was logged
	pruneFault string        // why old pairs could not be removed, as it was logged
	leafFault  string        // why the leaves that were there could not be written down, as it was logged
	shareFault string        // why the CA certificates could not be shared, as it was logged
	clientUse  *bool         // whether a server presents the pair as a client; nil until one has told
	prune      bool          // a server is proven: pairs that none shows any more can go
	inUse      []int         // but for these, which servers showed before the last load, or show
	nextEnd    time.Time     // when the end of a certificate next comes nearer
	rival      aboutRival
	giving     giving          // what is left to do of a rotation
	rotated    status.Rotation // what came of the last one
	rehearsal  time.Time       // when the next rehearsal is due; zero: none is
	rehearsing bool            // one is under way
	restarting bool            // a Sentinel is restarted
	waiters    []chan error    // those who wait for its end
}

// Tally is what outlives a configuration: counts since the start of the process, and
// what it has logged. The zero Tally is ready for use, by one agent after the other.
type Tally struct {
	mu          sync.Mutex
	rotations   int
	authorities map[string]status.CA // by kind and URL
	ends        map[string]bool      // ends of certificates that were logged, by certificate and severity
}

// rotated counts a certificate that every server proved.
func (t *Tally) rotated() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rotations++
}

// count changes what is counted of an authority.
func (t *Tally) count(a status.CA, change func(*status.CA)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.authorities == nil {
		t.authorities = map[string]status.CA{}
	}
	counted := t.of(a)
	change(&counted)
	t.authorities[a.Kind+" "+a.URL] = counted
}

// of returns what was counted of an authority.
func (t *Tally) of(a status.CA) status.CA {
	if counted, ok := t.authorities[a.Kind+" "+a.URL]; ok {
		return counted
	}
	return a
}

// read returns the rotations, and what was counted of authorities.
func (t *Tally) read(authorities []Authority) (rotations int, counted []status.CA) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range authorities {
		counted = append(counted, t.of(a.CA))
	}
	return t.rotations, counted
}

// near replaces the ends of certificates that are near, and returns those that were
// not before.
func (t *Tally) near(ends map[string]bool) (fresh map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh = maps.Clone(ends)
	for key := range t.ends {
		delete(fresh, key)
	}
	t.ends = ends
	return fresh
}
