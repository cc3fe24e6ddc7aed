package check

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"io/fs"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
)

// A Kind is what a target is.
type Kind string

// The kinds.
const (
	Server Kind = "server" // a TLS address
	File   Kind = "file"   // a certificate, its chain, and perhaps its key
	CA     Kind = "ca"     // CA certificates, each for itself
)

// A Role is what a certificate is for.
type Role string

// The roles.
const (
	AnyRole    Role = ""
	ServerRole Role = "server"
	ClientRole Role = "client"
)

// A Want is what a target's certificates must satisfy.
type Want struct {
	Warn, Crit cert.Margin
	Trust      Trust
	Names      []string // DNS names and IP addresses, all of which the leaf must carry
	Role       Role
	AnyCA      bool // any issuer will do: the servers that it is presented to decide
	Renews     bool // an agent renews it: remedies name its commands
	Loads      bool // an agent makes redis load it
}

// Trust is what the chains are to lead to.
type Trust struct {
	Named []*x509.Certificate // the CA certificates that somebody named; nil: the system's count
	Pool  *x509.CertPool      // of Named, or the system's; never nil
}

// NewTrust returns the trust in the CA certificates that somebody named.
func NewTrust(named []*x509.Certificate) Trust { return Trust{Named: named, Pool: cert.Pool(named)} }

// SystemTrust returns the trust in the roots of this system.
func SystemTrust() (Trust, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return Trust{}, fmt.Errorf("the roots of this system: %w", err)
	}
	return Trust{Pool: pool}, nil
}

// Found is what was found at one target, before anybody judged it.
type Found struct {
	Target string
	Kind   Kind
	Chain  []*x509.Certificate // as it was served, or as it stands in the file; may be nil
	Err    error               // why there is nothing, or nothing more, to find
	Unread []string            // of a File or CA: which of its certificates this program cannot judge, and why

	Probe    reload.Probe        // of a Server
	OnDisk   []*x509.Certificate // of a Server: what its file holds; nil: not known
	Differs  []string            // of a Server, as in Target
	Sentinel bool                // of a Server, as in Target
	Links    []Tried             // of a Server

	Key *Key // of a File; nil: nobody named one
}

// A Key is what was found out about a private key, without the key.
type Key struct {
	Path   string
	Public crypto.PublicKey // nil when Err is not
	Err    error            // why it is not known

	Mode      fs.FileMode // of its file
	GID       int         // of its file
	WantGroup int         // the group that must be able to read it; -1: none
}
