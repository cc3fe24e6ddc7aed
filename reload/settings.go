package reload

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Settings are what a running Redis says about its TLS.
type Settings struct {
	Version string // redis_version; Valkey gives the Redis it is like, 7.2.4

	// The files it loads, as absolute paths; empty where none is set.
	Cert, Key, CA string
	CADir         string // the directory of tls-ca-cert-dir

	PeerName   string // what the certificates of its peers must carry (tls-expected-peer-name); empty: anything
	ClientUser string // by what of its certificate a client is logged in (tls-auth-clients-user), CN or URI; empty: by nothing

	// ClientCert is the certificate that it presents to others in place of Cert; empty
	// where it has none of its own.
	ClientCert string

	// ClientAuth is whether this Redis presents the pair as a client, to its
	// master or to the cluster bus, or asks us to present it: the certificate
	// must then be good for clients too.
	ClientAuth bool

	Links Links

	Allowed Allowed // in a handshake

	// AutoReload is how often it looks for changed files itself: Valkey 9.1 and later,
	// tls-auto-reload-interval. Zero: never.
	AutoReload time.Duration

	// Sentinel is whether it is one. It has no CONFIG and reads its files only when it
	// starts; nothing else is known of it.
	Sentinel bool
}

// parameters are those that are asked for, one at a time.
var parameters = []string{
	"dir", "tls-cert-file", "tls-key-file", "tls-ca-cert-file", "tls-auth-clients",
	"tls-replication", "tls-cluster", "tls-client-cert-file", "tls-client-key-file", "cluster-enabled",
	"tls-auto-reload-interval", "tls-protocols", "tls-ciphers", "tls-ciphersuites",
	"tls-ca-cert-dir", "tls-expected-peer-name", "tls-auth-clients-user",
}

// Settings asks Redis for its settings. The errors are those of Reload.
func (r *Redis) Settings(ctx context.Context, t Trust) (Settings, error) {
	var found Settings
	err := r.with(ctx, t, func(s *session) error {
		info, err := s.settings(ctx)
		switch {
		case info.denied != nil:
			return info.denied
		case info.Sentinel:
			found.Sentinel, found.Version = true, info.Version
			return nil
		case err != nil:
			return err
		}
		found, err = s.withLinks(ctx, info)
		return err
	})
	if err != nil {
		return Settings{}, r.unsettled(err)
	}
	return found, nil
}

// withLinks adds to what was asked whether the server's links are up.
func (s *session) withLinks(ctx context.Context, info said) (found Settings, err error) {
	found = info.Settings
	found.Links, err = s.links(ctx, info.value, info.server)
	return found, err
}

func (r *Redis) unsettled(err error) error {
	return fmt.Errorf("settings of %s: %w", r.server.Address, err)
}

// said is what a server has said of itself.
type said struct {
	Settings
	value  map[string]string // of each parameter, as it was said
	server map[string]string // the fields of INFO server
	denied error             // of INFO, which is needed for one old version only
}

// settings asks for everything but the links, in one round trip.
func (s *session) settings(ctx context.Context) (said, error) {
	questions := []question{askVersion}
	for _, p := range parameters {
		questions = append(questions, s.get(p))
	}
	answers, err := s.ask(ctx, questions...)
	if err != nil {
		return said{}, err
	}
	found := said{value: make(map[string]string), server: fields(answers[0].reply)}
	if found.Version, found.denied = answers[0].version(); found.denied != nil && !errors.Is(found.denied, ErrDenied) {
		return said{}, found.denied
	}
	if text, ok := answers[0].reply.(string); ok {
		found.Sentinel = mode(text) == "sentinel"
	}
	value := found.value
	for i, p := range parameters {
		if value[p], err = s.value(answers[1+i], p); err != nil {
			return found, err
		}
	}
	found.Cert = absolute(value["dir"], value["tls-cert-file"])
	found.Key = absolute(value["dir"], value["tls-key-file"])
	found.CA = absolute(value["dir"], value["tls-ca-cert-file"])
	found.ClientCert = absolute(value["dir"], value["tls-client-cert-file"])
	found.CADir = absolute(value["dir"], value["tls-ca-cert-dir"])
	found.PeerName = value["tls-expected-peer-name"]
	if by := strings.ToUpper(value["tls-auth-clients-user"]); by != "OFF" && by != "NO" {
		found.ClientUser = by
	}
	found.ClientAuth = s.r.presentsPair(s.to, value)
	found.Allowed = Allowed{value["tls-protocols"], value["tls-ciphers"], value["tls-ciphersuites"]}
	if n, err := strconv.Atoi(value["tls-auto-reload-interval"]); err == nil && n > 0 {
		found.AutoReload = time.Duration(min(n, 1<<30)) * time.Second
	}
	return found, nil
}

// presentsPair says whether the pair serves as a client certificate too. Redis
// presents its own to masters and to the bus, unless it has both a client
// certificate and a client key: of a certificate alone it takes no notice.
func (r *Redis) presentsPair(control route, value map[string]string) bool {
	links := value["tls-replication"] == "yes" || value["tls-cluster"] == "yes"
	own := value["tls-client-cert-file"] != "" && value["tls-client-key-file"] != ""
	asks := value["tls-auth-clients"] != "no" && value["tls-auth-clients"] != ""
	return links && !own || asks && control.tls && r.server.Client == nil
}

// absolute resolves a path as Redis does, which changes to dir before it loads
// its files.
func absolute(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
