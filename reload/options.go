package reload

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/option"
)

const defaultCommand = "CONFIG"

// DefaultServer is what holds for a server of which nothing is said.
func DefaultServer() Server { return Server{ConfigCommand: defaultCommand, Timeout: DefaultTimeout} }

// Faults tells what cannot work. Fields have the names of the configuration.
func (s Server) Faults(r option.Report) {
	s.addressFaults(r)
	if s.Name != "" || r.Given("name") {
		if _, err := option.ParseName(s.Name); err != nil {
			r.Fault("name", "%s %v", option.Quote(s.Name), err)
		}
	}
	s.controlFaults(r)
	if strings.ContainsAny(s.User, blanks) {
		r.Fault("user", "%s is not the name of a Redis user; it has no spaces", option.Quote(s.User))
	}
	s.clientFaults(r)
	if s.ConfigCommand == "" || strings.ContainsAny(s.ConfigCommand, blanks) {
		r.Fault("config_command", "%s is not a command; write the name that rename-command gives to CONFIG", option.Quote(s.ConfigCommand))
	}
	if s.Restart != "" || r.Given("restart") {
		s.restartFaults(r)
	}
	option.Positive(r, "timeout", s.Timeout)
}

// restartFaults judges the name of a unit (systemd.unit(5)).
func (s Server) restartFaults(r option.Report) {
	const signs = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"
	name, hasEnding := strings.CutSuffix(s.Restart, ".service")
	if name == "" || len(s.Restart) > 255 || strings.Trim(name, signs) != "" || strings.HasSuffix(name, "@") || !hasEnding && hasUnitEnding(name) {
		r.Fault("restart", "%s is not the name of a service; write it like redis-sentinel.service", option.Quote(s.Restart))
	}
}

func hasUnitEnding(name string) bool {
	for _, ending := range []string{".socket", ".target", ".timer", ".path", ".mount", ".slice", ".scope", ".device"} {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}

const blanks = " \t\r\n\x00"

func (s Server) addressFaults(r option.Report) {
	switch {
	case s.Address == "" && !r.Given("address"):
		r.Fault("address", "missing; write the TLS address of Redis, like 127.0.0.1:6379")
		return
	case strings.Contains(s.Address, "://"): // not quoted, since it may hold a password
		r.Fault("address", "a URL; leave out the scheme, the user and the password, and write it like 127.0.0.1:6379")
		return
	case strings.HasPrefix(s.Address, "unix:") || strings.HasPrefix(s.Address, "/"):
		r.Fault("address", "%s is a unix socket, and Redis speaks no TLS there; write the TLS address here and the socket under control:", option.Quote(s.Address))
		return
	}
	host := option.Address(r, "address", s.Address, `write it like 127.0.0.1:6379 or "[::1]:6379"`)
	if host != "" && s.InsecureSkipVerify && !option.Loopback(host) {
		r.Fault("insecure_skip_verify", "%s is not a loopback address, so its certificate must be verified; leave this out, or write the address as 127.0.0.1", option.Quote(s.Address))
	}
}

func (s Server) controlFaults(r option.Report) {
	if s.Control == "" && !r.Given("control") {
		return
	}
	switch to, err := s.control(); {
	case err != nil || s.Control == "":
		r.Fault("control", "%s is neither unix:/path nor plain:127.0.0.1:PORT; write one of these, or leave it out to use the TLS address", option.Quote(s.Control))
	case to.network == "unix" && (!filepath.IsAbs(to.addr) || len(to.addr) > option.MaxSocketPath):
		r.Fault("control", "%s does not name a unix socket; write it like unix:/run/redis/redis.sock", option.Quote(s.Control))
	case to.network == "tcp":
		host, fault := option.SplitAddress(to.addr)
		if fault != "" {
			r.Fault("control", `%s %s; write it like plain:127.0.0.1:6390 or "plain:[::1]:6390"`, option.Quote(s.Control), fault)
		} else if !option.Loopback(host) {
			r.Fault("control", "%s would send the password unencrypted over the network; write plain:127.0.0.1:PORT, or leave it out to use TLS", option.Quote(s.Control))
		}
	}
}

func (s Server) clientFaults(r option.Report) {
	chain := s.ClientCert != "" || r.Given("client_cert")
	key := s.ClientKey.Set() || r.Given("client_key")
	option.AbsoluteOrNone(r, "client_cert", s.ClientCert)
	if chain && !key {
		r.Fault("client_key", "missing; client_cert and client_key go together: write the path of the key, or credential:NAME")
	}
	if key && !chain {
		r.Fault("client_cert", "missing; client_cert and client_key go together: write the path of the certificate")
	}
}

// FileFaults looks at the files and secrets that s names.
func (s Server) FileFaults(r option.Report) {
	option.Secret(r, "password_file", s.Password, nil)
	option.Secret(r, "client_key", s.ClientKey, nil)
	option.Certificates(r, "client_cert", s.ClientCert)
}

// ClientPair reads ClientCert and ClientKey. It is called at each use, since
// another program renews them.
func (s Server) ClientPair() (*tls.Certificate, error) {
	chain, err := option.ReadFile(s.ClientCert)
	if err != nil {
		return nil, fmt.Errorf("client_cert: %w", err)
	}
	key, err := s.ClientKey.Read()
	if err != nil {
		return nil, fmt.Errorf("client_key: %w", err)
	}
	p, err := cert.Parse(chain, key, nil)
	if err != nil {
		return nil, fmt.Errorf("client_cert %s and client_key %s: %w; name a certificate and its own key", s.ClientCert, s.ClientKey, err)
	}
	own := p.TLS()
	return &own, nil
}
