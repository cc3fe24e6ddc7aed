package discover

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"redis-cert-agent/reload"
)

// parameters are what a running server is asked for. Never a pattern over tls-*, which
// would show the passphrase of the key file, and never requirepass.
var parameters = []string{
	"port", "tls-port", "bind", "unixsocket", "dir", "tls-cert-file", "tls-key-file", "tls-ca-cert-file",
	"tls-auth-clients", "tls-replication", "tls-cluster", "cluster-enabled", "replicaof", "tls-auto-reload-interval",
	"tls-client-cert-file", "tls-client-key-file", "tls-expected-peer-name", "cluster-port", "cluster-config-file",
}

// Ask asks the running server what holds, and returns it with the differences to what
// its configuration file says: the next start brings those. Via is how to talk to it.
func (s Server) Ask(ctx context.Context, via reload.Server, t reload.Trust) (Server, error) {
	d, err := reload.New(via).Describe(ctx, t, parameters...)
	if err != nil {
		return s, err
	}
	if d.Sentinel() {
		s.Sentinel = true
		return s, nil
	}
	holds := s
	holds.Settings = fromMemory(d.Values)
	holds.Version = d.Version
	holds.Password, holds.Sentinel = s.Password, false
	if s.Conf != "" {
		holds.Warnings = append(holds.Warnings, differences(s.Settings, holds.Settings, s.Conf)...)
	}
	return holds, nil
}

func fromMemory(got map[string]string) Settings {
	v := values{}
	for name, value := range got {
		switch {
		case name == "bind", name == "replicaof":
			v[name] = strings.Fields(value)
		case value != "":
			v[name] = []string{value}
		}
	}
	return v.settings("")
}

// Differences are what another start with the file would change.
func differences(file, memory Settings, conf string) (all []string) {
	note := func(name, file, memory string) {
		if file != memory {
			all = append(all, fmt.Sprintf("it runs with %s %s, and %s says %s: the next start brings that; CONFIG REWRITE keeps what runs", name, orNone(memory), conf, orNone(file)))
		}
	}
	note("tls-port", strconv.Itoa(file.TLSPort), strconv.Itoa(memory.TLSPort))
	note("port", strconv.Itoa(file.Port), strconv.Itoa(memory.Port))
	note("tls-cert-file", file.Cert, memory.Cert)
	note("tls-key-file", file.Key, memory.Key)
	note("tls-ca-cert-file", file.CA, memory.CA)
	if memory.TLSPort != 0 || file.TLSPort != 0 {
		note("tls-auth-clients", file.AuthClients, memory.AuthClients)
		note("tls-replication", yesNo(file.TLSReplication), yesNo(memory.TLSReplication))
		note("tls-cluster", yesNo(file.TLSCluster), yesNo(memory.TLSCluster))
	}
	return all
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// SpeaksTLS returns the first of addresses that answers a TLS handshake; empty: none. A
// plaintext port takes the whole timeout.
func SpeaksTLS(ctx context.Context, addresses []string, timeout time.Duration) string {
	for _, a := range addresses {
		r := reload.New(reload.Server{Address: a, Timeout: timeout})
		if served, err := r.Served(ctx, reload.Trust{}); err == nil && len(served.Chain) > 0 {
			return a
		}
	}
	return ""
}

// Without is how to talk to the server without a password, for who may look and not
// log in: by its unix socket or its plaintext port, or else by TLS.
func (s Server) Without(address string) reload.Server {
	via := reload.DefaultServer()
	via.Address = address
	switch {
	case s.Socket != "" && strings.HasPrefix(s.Socket, "/"):
		via.Control = "unix:" + s.Socket
	case s.Conf != "" && strings.HasPrefix(s.PlainAddress(), "127."):
		via.Control = "plain:" + s.PlainAddress()
	}
	return via
}
