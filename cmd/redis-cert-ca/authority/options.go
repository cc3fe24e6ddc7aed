package authority

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

const (
	defaultLifetime = 24 * time.Hour
	defaultMin      = 5 * time.Minute
	defaultMax      = 24 * time.Hour
	defaultBackdate = time.Minute

	// caLifetime is that of the root and of the intermediate.
	caLifetime = 10 * 365 * 24 * time.Hour
)

// withDefaults fills in what o leaves empty.
func (o InitOptions) withDefaults() InitOptions {
	o.Name = cmp.Or(o.Name, "Redis")
	o.Address = cmp.Or(o.Address, ":9000")
	o.Provisioner = cmp.Or(o.Provisioner, "redis")
	o.Lifetime = cmp.Or(o.Lifetime, defaultLifetime)
	o.MinLifetime = cmp.Or(o.MinLifetime, min(defaultMin, o.Lifetime))
	o.MaxLifetime = cmp.Or(o.MaxLifetime, max(defaultMax, o.Lifetime))
	o.Backdate = max(cmp.Or(o.Backdate, defaultBackdate), 0)
	return o
}

// OptionError holds every fault of the options given to Init. Each names the
// option, its value and what to write instead.
type OptionError []error

// Error returns the faults, one a line.
func (e OptionError) Error() string { return errors.Join(e...).Error() }

// validate reports every fault of o, whose defaults are filled in.
func (o InitOptions) validate() error {
	var faults OptionError
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf(format, args...))
	}
	if o.Dir == "" {
		fault("dir: none given: name the directory to write the authority to")
	}
	if len(o.DNS) == 0 {
		fault("dns: none given: name at least one DNS name or IP address under which hosts reach this machine")
	}
	for _, name := range o.DNS {
		if !validName(name) {
			fault("dns: %q is neither a DNS name nor an IP address: leave out scheme and port", name)
		}
	}
	if _, port, err := net.SplitHostPort(o.Address); err != nil || port == "" {
		fault("address: %q: want host:port, or :port for every interface", o.Address)
	}
	if o.Provisioner == acmeName {
		fault("provisioner: %q is the name of the ACME provisioner: take another", o.Provisioner)
	}
	switch {
	case min(o.MinLifetime, o.Lifetime, o.MaxLifetime) < 0:
		fault("lifetime: %s is negative: write a duration like 24h", min(o.MinLifetime, o.Lifetime, o.MaxLifetime))
	case o.Lifetime < o.MinLifetime || o.Lifetime > o.MaxLifetime:
		fault("lifetime: %s lies outside %s to %s: change it, or min-lifetime or max-lifetime", o.Lifetime, o.MinLifetime, o.MaxLifetime)
	}
	if faults != nil {
		return faults
	}
	return nil
}

// validName reports whether name is an IP address, or has the form of a DNS
// name: labels of letters, digits, hyphens and underscores (RFC 1123, section
// 2.1, and what is found in the wild).
func validName(name string) bool {
	if net.ParseIP(name) != nil {
		return true
	}
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		if strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
