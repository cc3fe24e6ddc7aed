package report

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status is what the agent last knew. Its JSON is what `status --json` prints:
// names and meanings stay, new ones may come. Times are RFC 3339; one that is
// not known is missing.
type Status struct {
	Instance string    `json:"instance"`
	Version  string    `json:"version"`
	PID      int       `json:"pid,omitempty"` // zero: no agent runs
	Now      time.Time `json:"now"`

	Pair    *Pair `json:"pair"`              // what a server that starts now loads; null when there is none
	Pending *Pair `json:"pending,omitempty"` // a newer one that no server is proven to serve yet

	CAs       []CA      `json:"cas"` // in the order in which they are asked
	Servers   []Server  `json:"servers"`
	Next      Next      `json:"next"`
	Due       time.Time `json:"renewal_due,omitzero"` // of the pair; missing where another hand renews
	LastError *Failure  `json:"last_error,omitempty"` // until what failed has succeeded
	Rotations int       `json:"rotations"`            // since the start of the agent
	Degraded  bool      `json:"degraded"`             // something needs a person, or soon will

	MonitorOnly  bool          `json:"monitor_only"` // another hand renews
	Looked       time.Time     `json:"looked,omitzero"`
	Certificates []Certificate `json:"certificates,omitempty"` // everything that can expire
	IssueError   *Failure      `json:"issue_error,omitempty"`  // of the last attempt at a certificate, when that failed
	FilesError   string        `json:"files_error,omitempty"`  // what is wrong with the pair that another hand put there
	DiskError    string        `json:"disk_error,omitempty"`   // why the disk cannot be read
	Clock        string        `json:"clock,omitempty"`        // why the clock holds back a renewal
	Synchronised bool          `json:"clock_synchronised"`     // as the kernel, or systemd-timesyncd, says
}

// Pair is a certificate on disk.
type Pair struct {
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

// PairOf describes a certificate; Method, IssuedAt, KeyType and Generation are
// the caller's to fill in.
func PairOf(leaf *x509.Certificate) *Pair {
	names := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	sum := sha256.Sum256(leaf.Raw)
	return &Pair{
		Serial:      Serial(leaf),
		Names:       names,
		Issuer:      leaf.Issuer.String(),
		NotBefore:   leaf.NotBefore,
		NotAfter:    leaf.NotAfter,
		Fingerprint: hex.EncodeToString(sum[:]),
	}
}

// CA is the certificate authority, as the last requests found it.
type CA struct {
	Kind        string    `json:"kind"` // step
	URL         string    `json:"url"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	LastError   *Failure  `json:"last_error,omitempty"` // of the last request, when that failed

	// Counts since the start of the agent. A certificate that the gate refused
	// is no success.
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Refused   int `json:"refused"`
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
	Error          string      `json:"error,omitempty"`
}

// Next is what the agent does next.
type Next struct {
	Action string    `json:"action"` // renewal, reload, look
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
		parts = append(parts, "serial "+short(s.Pair.Serial), "valid until "+Time(s.Pair.NotAfter))
	}
	parts = append(parts, s.proven())
	if !s.Next.At.IsZero() && s.Next.Action != "" {
		parts = append(parts, fmt.Sprintf("next %s at %s", s.Next.Action, Time(s.Next.At)))
	}
	line := strings.Join(parts, ", ")
	if s.LastError != nil && s.Verdict() != "ok" {
		line += ": " + s.LastError.Text
	}
	return strings.Join(strings.Fields(line), " ")
}

// serving says whether a server shows any certificate.
func (s Status) serving() bool {
	return slices.ContainsFunc(s.Servers, func(srv Server) bool { return srv.ServedSerial != "" })
}

// proven counts: "2 of 3 servers proven".
func (s Status) proven() string {
	n := 0
	for _, srv := range s.Servers {
		if srv.State == Proven {
			n++
		}
	}
	noun := "servers"
	if len(s.Servers) == 1 {
		noun = "server"
	}
	return fmt.Sprintf("%d of %d %s proven", n, len(s.Servers), noun)
}

// short shortens a serial number to what tells certificates apart.
func short(serial string) string {
	if len(serial) <= 12 {
		return serial
	}
	return serial[:8] + "…"
}
