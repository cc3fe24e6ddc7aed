// Package authority makes and runs a private certificate authority: a whole
// step-ca, in process.
//
// Init writes the directory of a new authority: a root, an intermediate that
// signs, a JWK provisioner whose password lets a host ask for its first
// certificate, an ACME provisioner, and a database. Start serves such a
// directory over HTTPS and returns once the authority answers.
//
// The authority, its HTTP interface and its database are those of
// github.com/smallstep/certificates; this package adds the listener, the
// serving certificate and the log. What stands in the directory is step-ca's
// own layout and step-ca's own configuration, so that an authority that
// outgrows this package moves to step-ca proper without a new root:
//
//	step-ca --password-file DIR/secrets/password DIR/config/ca.json
//
// Nothing here writes to standard output or standard error, and nothing is
// kept in package variables: any number of authorities run side by side.
package authority

import (
	"errors"
	"path/filepath"
	"time"
)

// ErrExists means that the directory given to Init holds something already.
var ErrExists = errors.New("refusing to overwrite")

// ErrNotFound means that the directory given to Start holds no authority.
var ErrNotFound = errors.New("no certificate authority here")

// ErrRunning means that another process serves the directory given to Start.
var ErrRunning = errors.New("another process serves this directory")

// InitOptions say what kind of authority Init makes. Dir and DNS are required.
type InitOptions struct {
	// Dir is where the authority is written. It must not exist, or be empty.
	Dir string

	// Name precedes "Root CA" and "Intermediate CA" in the subjects of the two
	// certificates; "Redis" when empty.
	Name string

	// DNS holds the names and IP addresses under which hosts reach the
	// authority. The first is the one in the URL.
	DNS []string

	// Address is what the server listens on, host:port; ":9000" when empty.
	// Port 0 takes a free port at each start.
	Address string

	// Provisioner names the JWK provisioner; "redis" when empty.
	Provisioner string

	// Lifetime is what a certificate gets whose request names none; 24 hours
	// when zero. MinLifetime and MaxLifetime bound what a request may ask for:
	// 5 minutes and 24 hours when zero, or Lifetime where that lies outside.
	//
	// step-ca counts from NotBefore: Backdate is part of what is measured
	// against MinLifetime, and is allowed on top of MaxLifetime.
	Lifetime, MinLifetime, MaxLifetime time.Duration

	// Backdate is how far in the past NotBefore of a new certificate lies, for
	// hosts whose clocks are behind: one minute when zero, as step-ca does it;
	// none at all when negative.
	Backdate time.Duration

	// RenewAfterExpiry lets an expired certificate be renewed with a token
	// that its own key signed.
	RenewAfterExpiry bool

	// ACME adds an ACME provisioner, named "acme".
	ACME bool

	// AllowDNS and AllowIP, when one of them is not empty, are all that may be
	// certified: DNS names or *.domain for the names one level below it, and
	// addresses or CIDR ranges. Renewals are not measured against them again.
	AllowDNS, AllowIP []string
}

// Info tells what Init made and where.
type Info struct {
	Dir             string // absolute
	URL             string // https://name:port; empty if port 0 leaves it to Start
	Fingerprint     string // SHA-256 of the root certificate, 64 hex digits
	ProvisionerName string
	PasswordFile    string // the provisioner's password; no newline at its end
	RootFile        string // the root certificate, PEM
	RootKeyFile     string // needed only to make another intermediate
	KeyPasswordFile string // unlocks the keys of the root and the intermediate
	ConfigFile      string // ca.json
	ACMEDirectory   string // URL; empty without ACME or URL
}

// The files of an authority, relative to its directory; as `step ca init`
// names them.
const (
	configFile              = "config/ca.json"
	rootFile                = "certs/root_ca.crt"
	intermediateFile        = "certs/intermediate_ca.crt"
	rootKeyFile             = "secrets/root_ca_key"
	intermediateKeyFile     = "secrets/intermediate_ca_key"
	passwordFile            = "secrets/password"
	provisionerPasswordFile = "secrets/provisioner-password"
	databaseFile            = "db/step-ca.db"
)

const acmeName = "acme"

// PasswordFile returns where the authority in dir keeps the password of its
// JWK provisioner.
func PasswordFile(dir string) string { return filepath.Join(dir, provisionerPasswordFile) }
