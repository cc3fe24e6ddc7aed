package reload

import (
	"context"
	"fmt"
	"path/filepath"
)

// Settings are what a running Redis says about its TLS.
type Settings struct {
	Version string // redis_version; Valkey gives the Redis it is like, 7.2.4

	// The files it loads, as absolute paths; empty where none is set.
	Cert, Key, CA string

	// ClientAuth is whether this Redis presents the pair as a client, to its
	// master or to the cluster bus, or asks us to present it: the certificate
	// must then be good for clients too.
	ClientAuth bool
}

// parameters are those that Settings asks for.
var parameters = []string{
	"dir", "tls-cert-file", "tls-key-file", "tls-ca-cert-file", "tls-auth-clients",
	"tls-replication", "tls-cluster", "tls-client-cert-file", "tls-client-key-file",
}

// Settings asks Redis for its settings. The errors are those of Reload.
func (r *Redis) Settings(ctx context.Context, t Trust) (Settings, error) {
	var found Settings
	err := r.with(ctx, t, func(s *session) error {
		questions := []question{askVersion}
		for _, p := range parameters {
			questions = append(questions, s.get(p))
		}
		answers, err := s.ask(ctx, questions...)
		if err != nil {
			return err
		}
		if found.Version, err = answers[0].version(); err != nil {
			return err
		}
		value := make(map[string]string)
		for i, p := range parameters {
			if value[p], err = s.value(answers[1+i], p); err != nil {
				return err
			}
		}
		found.Cert = absolute(value["dir"], value["tls-cert-file"])
		found.Key = absolute(value["dir"], value["tls-key-file"])
		found.CA = absolute(value["dir"], value["tls-ca-cert-file"])
		found.ClientAuth = r.presentsPair(s.to, value)
		return nil
	})
	if err != nil {
		return Settings{}, fmt.Errorf("settings of %s: %w", r.server.Address, err)
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
