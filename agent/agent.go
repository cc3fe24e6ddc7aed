// Package agent looks after one certificate and the redis-servers on this host
// that load it.
//
// The loop is level-triggered. Whatever wakes it, it looks at what is on disk and, where
// that matters, at what every server really shows in a fresh handshake; it asks package
// plan for the next step, takes it, and looks again, until there is nothing to do but
// wait. It believes only what it sees: a renewal is done when a handshake shows the new
// leaf, never because something answered OK.
//
// One renewal is a straight line through look.go, issue.go and load.go:
//
//	look → plan.Next → Issuer.Issue → the gate → Store.Put → Switch → Redis.Reload → Redis.Prove
package agent

import (
	"context"
	"crypto/x509"
	"log/slog"
	"sync"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/roots"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// An Issuer gets certificates from an authority.
type Issuer interface {
	// Issue asks once. [ca.RetryAfter] of an error tells how long the authority
	// wants to be left alone.
	Issue(ctx context.Context, r ca.Request) (ca.Issued, error)
}

// An Authority is an Issuer and what people call it.
type Authority struct {
	status.CA // kind and address
	Issuer
	Pin string // the fingerprint of the root that the configuration wants it to have; may be empty
}

// A Redis is one redis-server that loads the pair.
type Redis interface {
	// Served shows what a fresh handshake presents, verified or not.
	Served(ctx context.Context, t reload.Trust) (reload.Served, error)
	// Reload makes the server read its files again, unless it could not serve what is in
	// them. Its answer proves nothing. The connection stays open until Close, so that Again
	// can make the server read the files once more, also when no new handshake succeeds any
	// longer.
	Reload(ctx context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error)
	// Prove makes a fresh handshake as a client would. It returns nil only when
	// that shows leaf.
	Prove(ctx context.Context, t reload.Trust, leaf *x509.Certificate) error
	// Settings asks which files the server names and what it uses them for.
	Settings(ctx context.Context, t reload.Trust) (reload.Settings, error)
}

// A Store is the pair on disk that the servers load: an [OwnStore], whose pair the
// agent renews, or a [*pair.External], whose pair another program renews.
type Store interface {
	// Load reads what is on disk and changes nothing. A broken pair is no error
	// but State's content.
	Load() (pair.State, error)
	// CertPath returns the path of the certificate for redis.conf.
	CertPath() string
	// Serves says whether a server whose tls-cert-file is path reads the pair.
	Serves(path string) bool
	// Remember writes down which leaves Load has found, so that the next start knows a
	// server by them when their pairs are gone.
	Remember() error
	// Watch watches for changes of what Load reads.
	Watch() (*pair.Watcher, error)
	Close() error
}

// An OwnStore is a [*pair.Store]: the agent's own pair, which it alone changes.
type OwnStore interface {
	Store
	// CAPath returns the path of the CA certificates for redis.conf.
	CAPath() string
	// NeedsCA says that no pair can be put or taken in without CA certificates.
	NeedsCA() bool
	// ServesCA says whether a server whose tls-ca-cert-file is path reads those.
	ServesCA(path string) bool
	// Put writes a new generation that is not current yet.
	Put(p *cert.Pair, o pair.Origin) (*pair.Generation, error)
	// Adopt makes the pair of another program the current generation.
	Adopt(f *pair.Foreign, o pair.Origin) (*pair.Generation, error)
	// Switch makes a generation current by one rename.
	Switch(id int) error
	// Link points the plain paths at what is current, where another program has not been
	// at them since seen. Linkable says why it could not.
	Link(seen pair.State) error
	Linkable() error
	// Share lets the clients of this host read the current CA certificates.
	Share() error
	// SetDistrust writes down which keys may be in other hands. Destroy removes all but
	// those of the current and the newest pair, and says how many.
	SetDistrust(d pair.Distrust) error
	Destroy() (keys int, err error)
	// Prune removes old generations, but none of keep.
	Prune(keep ...int) error
}

// A Server is a Redis and what people call it.
type Server struct {
	Name string // its address
	Redis

	// Unit runs it, and is restarted where it is a Sentinel that shows another certificate
	// than the newest; nil: a person does that.
	Unit Unit

	// NoServer says that it stands for what is to be done when a client's pair has
	// changed: a Reload does that, and nobody makes a handshake.
	NoServer bool
}

// Options is everything that an Agent works with. Roots may be empty.
type Options struct {
	Instance string // the name of this certificate among the host's
	Version  string // of this program

	Store       Store
	Authorities []Authority // asked in order: the next one when one fails; none for a pair.External
	Servers     []Server

	// Attempts is the file that keeps the count of failed orders across restarts,
	// because ACME CAs limit them. Empty: it is not kept.
	Attempts string

	Names      []string
	KeyType    cert.KeyType // empty: the type of the pair before
	ReuseKey   bool
	Encrypted  bool                // keys are encrypted, with the passphrase that the servers have
	Client     Usage               // whether the certificate must serve as a client certificate
	Roots      []*x509.Certificate // trusted beside what the authority names
	ExactRoots bool                // ca.crt holds only Roots and what the authority names
	Grace      time.Duration       // how long a root stays that nobody names nor needs; 0: roots.Book.Grace
	RootsBook  string              // the file that remembers roots; empty: they are forgotten at the end of the process
	Shared     *roots.Shared       // with the other agents of the process; nil: there are none
	Policy     plan.Policy

	Watched    []File        // certificates of others that are watched as well
	Warn, Crit cert.Margin   // when the end of a certificate is near, and very near
	LookEvery  time.Duration // the longest time between two looks; 0: as the plan says

	Needs []Need // what a renewal needs besides: tried in rehearsals

	Missing string // why a server that the configuration means is not known; empty: each is

	Successor bool   // another agent ran in this process before: systemd has been told READY
	Beside    bool   // it looks after a client's pair beside the agent of the servers, which alone speaks with systemd
	Tally     *Tally // outlives the agent

	Log   *slog.Logger
	Board *status.Board
	Clock Clock
}

// A File is a PEM file with certificates that others renew.
type File struct {
	Path   string
	Server string // the address of the server that it is presented to; empty: any
}

// A Usage says whether the certificate must carry clientAuth.
type Usage int

// Auto asks the servers; until one has answered, a clientAuth that the pair on
// disk has is not given up.
const (
	Auto Usage = iota
	ServerOnly
	ServerAndClient
	ClientOnly
)

// An Agent runs one certificate. What is on disk and what the servers show is read
// anew at every look; see memory.go for what is remembered between two looks.
type Agent struct {
	opt      Options
	own      OwnStore       // opt.Store, where the agent renews the pair; else nil
	external *pair.External // opt.Store, where another program does; else nil
	requests chan request
	ended    chan struct{} // closed when Run has ended

	beside      sync.WaitGroup  // what runs beside Run
	inspections chan inspection // found beside Run
	rehearsals  chan rehearsed  // the same
	restarts    chan restarted  // the same

	newest      aboutNewest
	servers     []aboutServer
	authorities []aboutAuthority
	files       aboutFiles
	roots       aboutRoots
	process     aboutProcess
	request     request // what a person asks for in this round; zero: nobody asks
}

// New returns an agent that has not looked yet.
func New(o Options) *Agent {
	if o.Tally == nil {
		o.Tally = new(Tally)
	}
	a := &Agent{
		opt:         o,
		requests:    make(chan request),
		ended:       make(chan struct{}),
		servers:     make([]aboutServer, len(o.Servers)),
		process:     aboutProcess{ready: o.Successor},
		authorities: make([]aboutAuthority, len(o.Authorities)),
		inspections: make(chan inspection, len(o.Authorities)),
		rehearsals:  make(chan rehearsed, 1),
		restarts:    make(chan restarted, 1),
	}
	switch s := o.Store.(type) {
	case OwnStore:
		a.own = s
	case *pair.External:
		a.external = s
	}
	a.forget(cert.Fingerprint{})
	return a
}

// forget begins the memory of the pair whose leaf is now the newest.
func (a *Agent) forget(leaf cert.Fingerprint) {
	a.newest = aboutNewest{
		leaf:        leaf,
		authorities: make([]plan.Attempts, len(a.opt.Authorities)),
		servers:     make([]loading, len(a.opt.Servers)),
	}
}
