// Package agent looks after one certificate and the redis-servers on this host
// that load it.
//
// The loop is level-triggered. Whatever wakes it, it looks at what is on disk
// and at what every server really shows in a fresh handshake, asks package plan
// for the next step, takes it, and looks again, until there is nothing to do
// but wait. It believes only what it sees: a renewal is done when a handshake
// shows the new leaf, never because something answered OK.
//
// One renewal is a straight line through look.go, issue.go and load.go:
//
//	look → plan.Next → Issuer.Issue → the gate → Store.Put → Switch → Redis.Reload → Redis.Prove
package agent

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
	"redis-cert-agent/reload"
)

// An Issuer gets certificates from an authority.
type Issuer interface {
	// Issue asks once. An error that has a method RetryAfter() time.Duration
	// tells how long the authority wants to be left alone.
	Issue(ctx context.Context, r ca.Request) (ca.Issued, error)
}

// An Authority is an Issuer and what people call it.
type Authority struct {
	report.CA // kind and address
	Issuer
}

// A Redis is one redis-server that loads the pair.
type Redis interface {
	// Served shows what a fresh handshake presents, verified or not.
	Served(ctx context.Context, t reload.Trust) (reload.Served, error)
	// Reload makes the server re-read its files. Its answer proves nothing.
	Reload(ctx context.Context, t reload.Trust) error
	// Prove makes a fresh handshake as a client would. It returns nil only when
	// that shows leaf.
	Prove(ctx context.Context, t reload.Trust, leaf *x509.Certificate) error
	// Settings asks which files the server names and what it uses them for.
	Settings(ctx context.Context, t reload.Trust) (reload.Settings, error)
}

// A Server is a Redis and what people call it.
type Server struct {
	Name string // its address
	Redis
}

// Options is everything that an Agent works with. Roots may be empty.
type Options struct {
	Instance string // the name of this certificate among the host's
	Version  string // of this program

	Store       *pair.Store
	Authorities []Authority // asked in order: the next one when one fails
	Servers     []Server

	// Attempts is a file that carries failed attempts over a restart; empty
	// when no authority minds. See attempts.go.
	Attempts string

	MonitorOnly bool // another hand renews the pair, Store is of its files, and Authorities is empty

	Names      []string
	KeyType    cert.KeyType
	ReuseKey   bool
	Client     Usage               // whether the certificate must serve as a client certificate
	Roots      []*x509.Certificate // trusted beside what the authority names
	ExactRoots bool                // ca.crt holds only Roots and what the authority names
	Policy     plan.Policy

	Watched    []File        // certificates of others that are watched as well
	Warn, Crit cert.Margin   // when the end of a certificate is near, and very near
	LookEvery  time.Duration // the longest time between two looks; 0: as the plan says

	Successor bool // another agent ran in this process before: systemd has been told READY

	Log    *slog.Logger
	Board  *report.Board
	Notify report.Notifier
	Clock  Clock
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
)

// An Agent runs one certificate. Beside its options it holds only its memory of
// failures; everything else is read anew at every look.
type Agent struct {
	Options
	requests chan request

	issuing      plan.Attempts        // failures to get a certificate
	issueErr     error                // the last of them; nil after a success
	adopting     plan.Attempts        // failures to take in another hand's pair
	servers      []memory             // what is remembered of each server
	newest       string               // the pair that servers and wish are about
	wish         wish                 // when the authority wants it renewed
	unsaved      *candidate           // issued, but the disk did not take it
	refused      int                  // the generation that a server refused or did not prove; 0 for none
	asked        bool                 // a person asked for a new certificate
	pressed      bool                 // and wants it whatever another hand does
	usage        *bool                // whether a server presents the pair as a client; nil until one has told
	other        otherHand            // what is remembered of another hand's pair, with MonitorOnly
	bad          string               // the fault of another hand's pair, as logged last; empty without one
	badSince     time.Time            // when its files were seen to be broken
	held         bool                 // the clock holds back a certificate, and that was logged
	running      bool                 // in Run, not for one look
	ready        bool                 // systemd was told READY
	last         *report.Failure      // the last failure of a step
	cas          []report.CA          // how the authorities did
	quiet        []time.Time          // until when each of them wants to be left alone
	rotations    int                  // certificates that every server proved, since the start
	certificates []report.Certificate // all that can expire, as last seen
	told         map[string]bool      // ends of certificates that were logged, by certificate and severity
	done         *sight               // before the last load that a server proved, until tidy; nil: all is tidy
}

// A memory is what the agent remembers of one server and the newest pair.
type memory struct {
	proven bool          // a handshake has shown the newest leaf as clients accept it
	behind bool          // the newest pair was changed, but for its leaf, since the server loaded it
	failed plan.Attempts // failures to load it
	err    error         // the last of them

	chain []*x509.Certificate // what the last handshake showed; nil when there was none
	state report.ServerState  // as last shown
	since time.Time           // since when
}

// New returns an agent that has not looked yet.
func New(o Options) *Agent {
	a := &Agent{
		Options:  o,
		requests: make(chan request),
		servers:  make([]memory, len(o.Servers)),
		quiet:    make([]time.Time, len(o.Authorities)),
		ready:    o.Successor,
		told:     map[string]bool{},
	}
	for _, authority := range o.Authorities {
		a.cas = append(a.cas, authority.CA)
	}
	if o.Attempts != "" && !o.Successor {
		a.recall()
	}
	return a
}
