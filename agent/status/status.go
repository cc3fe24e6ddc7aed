// Package status tells what holds now: what is on disk, what each server shows,
// what comes next, and what is wrong.
//
// The loop puts one [Status] on a [Board] after every look. The control socket, the
// STATUS line of systemd, the metrics, the messages to people and the status
// command show that one and none of their own. What is wrong is recorded nowhere:
// [Status.Problems] reads it off the status each time, so that no problem outlives
// its cause.
package status

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/plain"
)

// Status is what the agent last knew. Its JSON is what `status --json` prints:
// names and meanings stay, new ones may come. Times are RFC 3339; one that is
// not known is missing.
type Status struct {
	Instance string    `json:"instance"`
	Version  string    `json:"version"`
	PID      int       `json:"pid,omitempty"` // zero: no agent runs
	Now      time.Time `json:"now"`

	Pair    *Leaf `json:"pair"`              // what a server that starts now loads; null when there is none
	Pending *Leaf `json:"pending,omitempty"` // a newer one that no server is proven to serve yet

	CAs       []CA      `json:"cas"` // in the order in which they are asked
	Servers   []Server  `json:"servers"`
	Pairs     []Status  `json:"pairs,omitempty"` // of clients: Instance is the pair's name, and Servers what is done after a change
	Path      string    `json:"path,omitempty"`  // of a client's pair: where its certificate is
	Next      Next      `json:"next"`
	Due       time.Time `json:"renewal_due,omitzero"`     // of the pair; missing where another program renews
	Window    *Window   `json:"renewal_window,omitempty"` // when the authority wants the newest certificate renewed
	Recall    *Recall   `json:"recall,omitempty"`         // the authority wanted one replaced at once, until an hour after that
	Rotation  *Rotation `json:"rotation,omitempty"`       // a replacement of keys that were given up, until it is done
	LastError *Failure  `json:"last_error,omitempty"`     // until what failed has succeeded
	Rotations int       `json:"rotations"`                // since the start of the agent
	Degraded  bool      `json:"degraded"`                 // something needs a person, or soon will

	MonitorOnly  bool          `json:"monitor_only"` // another program renews
	Looked       time.Time     `json:"looked,omitzero"`
	Wake         time.Time     `json:"wake,omitzero"`             // when the agent looks again, at the latest, if nothing wakes it before
	AttemptsLeft int           `json:"attempts_left,omitempty"`   // how often a certificate is asked for before the newest one ends, if each attempt fails
	Rehearsal    *Rehearsal    `json:"rehearsal,omitempty"`       // the last one for the newest certificate
	RehearsalDue time.Time     `json:"rehearsal_due,omitzero"`    // when the next one is due
	RefusedBy    string        `json:"refused_by_some,omitempty"` // why some clients refuse the newest pair, which others accept
	Certificates []Certificate `json:"certificates,omitempty"`    // everything that can expire
	Roots        []Root        `json:"roots,omitempty"`           // in ca.crt, that an authority names or has named
	IssueError   *Failure      `json:"issue_error,omitempty"`     // of the last attempt at a certificate, when that failed
	FilesError   string        `json:"files_error,omitempty"`     // what is wrong with the pair that another program put there
	Missing      string        `json:"servers_missing,omitempty"` // why a server that the configuration means is not known
	Rival        string        `json:"another_renewer,omitempty"` // another program renews the same files
	DiskError    string        `json:"disk_error,omitempty"`      // why the disk cannot be read
	Clock        string        `json:"clock,omitempty"`           // what is wrong with the clock, which may hold back a renewal
	Synchronised bool          `json:"clock_synchronised"`        // as the kernel, or systemd-timesyncd, says
}

// A Leaf is a certificate on disk that a server presents as its own.
type Leaf struct {
	Serial      string    `json:"serial"` // hex
	Names       []string  `json:"names"`
	Issuer      string    `json:"issuer"`       // the issuer's distinguished name
	By          string    `json:"by,omitempty"` // which of the authorities gave it
	Method      string    `json:"method,omitempty"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	IssuedAt    time.Time `json:"issued_at,omitzero"`
	KeyType     string    `json:"key_type,omitempty"`
	Fingerprint string    `json:"fingerprint"` // SHA-256, hex
	Generation  int       `json:"generation,omitempty"`
}

// LeafOf describes a certificate; Method, IssuedAt, KeyType and Generation are
// the caller's to fill in.
func LeafOf(leaf *x509.Certificate) *Leaf {
	names := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	sum := sha256.Sum256(leaf.Raw)
	return &Leaf{
		Serial:      cert.Serial(leaf),
		Names:       names,
		Issuer:      leaf.Issuer.String(),
		NotBefore:   leaf.NotBefore,
		NotAfter:    leaf.NotAfter,
		Fingerprint: hex.EncodeToString(sum[:]),
	}
}

// CA is the certificate authority, as the last requests found it.
type CA struct {
	Kind        string    `json:"kind"` // step, acme
	URL         string    `json:"url"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	LastError   *Failure  `json:"last_error,omitempty"` // of the last request, when that failed
	Note        string    `json:"note,omitempty"`       // what to know about how it is asked
	Fault       string    `json:"fault,omitempty"`      // what the next request would meet, although none is due

	Limits []Limit `json:"limits,omitempty"` // of Let's Encrypt, of which something is taken

	// Counts since the start of the agent. A certificate that the gate refused
	// is no success.
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Refused   int `json:"refused"`
	Missed    int `json:"missed"` // certificates in a row that it did not give and another authority did
}

// A Limit is how much of what a CA gives to one host is taken.
type Limit struct {
	Limit string    `json:"limit"`        // duplicate_certificates, failed_validations, new_orders and the like
	Of    string    `json:"of,omitempty"` // the name that it is about
	Used  int       `json:"used"`
	Most  int       `json:"most"`
	Full  time.Time `json:"full"` // when all is given back
	Text  string    `json:"text"` // "2 of 5 duplicate certificates this week"
}

// ServerState is what the last handshake with a server told.
type ServerState string

// A server is proven when a fresh handshake showed the newest pair, verified as
// a client would. Stale is one that still shows another, failing one that
// refused the newest or does not prove it.
const (
	Proven      ServerState = "proven"
	Stale       ServerState = "stale"
	Unreachable ServerState = "unreachable"
	Failing     ServerState = "failing"
	Unknown     ServerState = "unknown"
)

// Server is one Redis.
type Server struct {
	Address        string      `json:"address"`
	State          ServerState `json:"state"`
	Since          time.Time   `json:"since,omitzero"`
	ServedSerial   string      `json:"served_serial,omitempty"`
	ServedNotAfter time.Time   `json:"served_not_after,omitzero"`
	Error          string      `json:"error,omitempty"`    // one line, which ends with Hint
	Hint           string      `json:"hint,omitempty"`     // what a person can do about Error
	Sentinel       bool        `json:"sentinel,omitempty"` // it loads its files only when it starts
	Note           string      `json:"note,omitempty"`     // what is special about how it loads its files
	Fault          string      `json:"fault,omitempty"`    // what its next reload would meet, although it is not due
}

// Next is what the agent does next.
type Next struct {
	Action string    `json:"action"` // renewal, attempt, look, adopt, ask, issue, load; empty when nothing is planned
	At     time.Time `json:"at,omitzero"`
	Why    string    `json:"why,omitempty"`
}

// Failure is an error and when it happened.
type Failure struct {
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// Verdict sums the status up in one word or two: ok, degraded, expired, no
// certificate. Only ok is good.
func (s Status) Verdict() string {
	switch {
	case s.Pair == nil && s.MonitorOnly && s.serving(): // by what it has in memory
		return "degraded"
	case s.Pair == nil:
		return "no certificate"
	case !s.Now.Before(s.Pair.NotAfter):
		return "expired"
	case s.Degraded, len(s.Problems()) > 0:
		return "degraded"
	}
	return "ok"
}

// Line sums the status up in one line, for systemctl status. Its times are
// absolute: systemd shows the line unchanged until the next one.
func (s Status) Line() string {
	parts := []string{s.Verdict()}
	if s.Pair != nil {
		parts = append(parts, "serial "+plain.ShortSerial(s.Pair.Serial), "valid until "+plain.Time(s.Pair.NotAfter))
	}
	parts = append(parts, s.ServersProven())
	if !s.Next.At.IsZero() && s.Next.Action != "" {
		parts = append(parts, fmt.Sprintf("next %s at %s", s.Next.Action, plain.Time(s.Next.At)))
	}
	line := strings.Join(parts, ", ")
	if s.LastError != nil && s.Verdict() != "ok" {
		line += ": " + s.LastError.Text
	}
	return strings.Join(strings.Fields(line), " ")
}

// Newest returns the newest certificate on disk; nil when there is none.
func (s Status) Newest() *Leaf {
	if s.Pending != nil {
		return s.Pending
	}
	return s.Pair
}

// serving says whether a server shows any certificate.
func (s Status) serving() bool {
	return slices.ContainsFunc(s.Servers, func(srv Server) bool { return srv.ServedSerial != "" })
}

// PairNamed returns the status of the client's pair of that name.
func (s Status) PairNamed(name string) Status {
	for _, p := range s.Pairs {
		if p.Instance == name {
			return p
		}
	}
	return Status{Instance: name, Now: s.Now}
}

// ServersProven counts: "2 of 3 servers proven". Of a client's pair it says whether what is
// to be done after a change was done.
func (s Status) ServersProven() string {
	n := 0
	for _, srv := range s.Servers {
		if srv.State == Proven {
			n++
		}
	}
	if s.Path != "" {
		if n < len(s.Servers) {
			return "and what is to be done then is not done yet"
		}
		return "and what is to be done then is done"
	}
	noun := "servers"
	if len(s.Servers) == 1 {
		noun = "server"
	}
	return fmt.Sprintf("%d of %d %s proven", n, len(s.Servers), noun)
}
