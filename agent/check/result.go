package check

import "time"

// A Report is the outcome of one check.
type Report struct {
	State   State     `json:"state"` // the worst of all targets
	Time    time.Time `json:"time"`  // when the judgement was made
	Summary string    `json:"summary"`
	Counts  Counts    `json:"counts"`
	Targets []Result  `json:"targets"` // the worst first
}

// Counts says how many targets are in each state.
type Counts struct {
	OK       int `json:"ok"`
	Warning  int `json:"warning"`
	Critical int `json:"critical"`
	Unknown  int `json:"unknown"`
}

// A Result is the verdict on one target.
type Result struct {
	State        State         `json:"state"`                 // the worst of Findings
	Target       string        `json:"target"`                // "127.0.0.1:6379", or the path of a file
	Kind         Kind          `json:"kind"`                  // what it is
	TLSVersion   string        `json:"tls_version,omitempty"` // "TLS 1.3", of a server
	ClientAuth   string        `json:"client_auth,omitempty"` // of a server: "not asked", "optional", "required", "accepted", "refused"
	Certificates []Certificate `json:"certificates"`          // as they came, and then the root that they lead to
	Findings     []Finding     `json:"findings"`              // the worst first
}

// A Certificate is one of a chain, or of a file of CA certificates. The texts
// have no control characters.
type Certificate struct {
	State  State  `json:"state"`  // of its own findings
	Role   string `json:"role"`   // "leaf", "client", "intermediate", "root", "ca", "unrelated"
	Source string `json:"source"` // "served", "file", or "trusted" for a root that did not come along
	*Facts
}

// Facts are what a certificate says, and what follows from it at the time of the check by
// the margins of the target. Results of one report may share them.
type Facts struct {
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"` // hexadecimal
	Names       []string  `json:"names,omitempty"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	SecondsLeft int64     `json:"seconds_left"` // negative after its end
	WarnAt      time.Time `json:"warn_at"`      // from when on its end is a warning
	CritAt      time.Time `json:"crit_at"`
	Key         string    `json:"key"`       // "ec-p256", "rsa-2048"
	Signature   string    `json:"signature"` // "ECDSA-SHA256"
	SHA256      string    `json:"sha256"`    // the fingerprint

	commonName string // of Subject
}

// A Finding is one thing that is wrong, or, with the state OK, worth knowing.
type Finding struct {
	State       State  `json:"state"`
	Code        string `json:"code"` // stable; see the constants
	Text        string `json:"text"` // what is wrong
	Remedy      string `json:"remedy,omitempty"`
	Certificate *int   `json:"certificate,omitempty"` // index in Certificates of the one that is at fault
}

// The codes of findings.
const (
	CodeExpired     = "expired"
	CodeExpiring    = "expiring"
	CodeNotYetValid = "not-yet-valid"
	CodeNeverValid  = "never-valid"  // it ends before it begins
	CodeIssuerFirst = "issuer-first" // an issuer ends before what it issued
	CodeName        = "name"
	CodeNoNames     = "no-names"
	CodeUntrusted   = "untrusted" // it does not lead to a root that is known
	CodeSelfSigned  = "self-signed"
	CodeIncomplete  = "incomplete" // an intermediate is missing
	CodeChain       = "chain"      // another fault of the chain
	CodeOrder       = "order"
	CodeRepeated    = "repeated"
	CodeUnrelated   = "unrelated"
	CodeUsage       = "usage"
	CodeOpenSSL     = "openssl"  // clients with OpenSSL refuse it, and others take it
	CodeStrict      = "strict"   // clients that verify strictly refuse it
	CodeUnjudged    = "unjudged" // this program cannot tell
	CodeCurve       = "curve"    // no client offers the curve of its key
	CodeWeakKey     = "weak-key"
	CodeWeakHash    = "weak-hash"
	CodeKeyMismatch = "key-mismatch"
	CodeKeyOpen     = "key-open"    // others may read it
	CodeKeyClosed   = "key-closed"  // the group of Redis may not
	CodeDrift       = "drift"       // served and on disk differ
	CodeConfig      = "config"      // the configuration file and the running server differ
	CodeClientAuth  = "client-auth" // what the server does about client certificates
	CodeLink        = "link"        // what a connection to another server meets, made as this one makes it
	CodePlainLink   = "plain-link"  // such a connection is made without TLS
	CodeUnreachable = "unreachable"
	CodeMissing     = "missing"    // no such file
	CodeUnreadable  = "unreadable" // this user may not read it
	CodeMalformed   = "malformed"
)
