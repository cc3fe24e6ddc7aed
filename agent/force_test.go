package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"redis-cert-agent/agent/pair"
)

// A forced renewal whose certificate could not get to where redis reads it costs the
// authority nothing, however often a person tries, and works when that is mended.
func TestForcedWherePathsCannotBeReplaced(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"a directory at the path": func(path string) error { return os.Mkdir(path, 0o755) },
		"a file for the directory": func(path string) error {
			_ = os.Remove(filepath.Dir(path))
			return os.WriteFile(filepath.Dir(path), nil, 0o600)
		},
		"the directory is missing": func(path string) error { return os.Remove(filepath.Dir(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			etc := filepath.Join(dir, "etc")
			crt := filepath.Join(etc, "redis.crt")
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.store.Close()
				w.must(os.Mkdir(etc, 0o755))
				w.open(dir, func(o *Options) {
					w.store.Close()
					store, err := pair.Open(pair.Options{Dir: dir, UID: -1, GID: -1, Mode: 0o640, Keep: 3,
						Paths: pair.Paths{Cert: crt, Key: filepath.Join(etc, "redis.key"), CA: filepath.Join(etc, "ca.crt")}})
					w.must(err)
					w.store, o.Store = store, store
				})
				_ = w.agent.Once(t.Context(), false) // the server is down
				for _, name := range []string{"redis.crt", "redis.key", "ca.crt"} {
					w.must(os.Remove(filepath.Join(etc, name)))
				}
				w.must(spoil(crt))
				issued := w.ca.issued
				for range 3 {
					if err := w.agent.Once(t.Context(), true); err == nil || !strings.Contains(err.Error(), crt) {
						t.Errorf("renew --force says %v", err)
					}
				}
				if issued == 0 || w.ca.issued != issued {
					t.Errorf("%d certificates were issued, and %d before", w.ca.issued, issued)
				}
				w.must(os.RemoveAll(etc))
				w.must(os.Mkdir(etc, 0o755))
				_ = w.agent.Once(t.Context(), true)
				if w.ca.issued != issued+1 {
					t.Errorf("when it was mended %d certificates were issued", w.ca.issued-issued)
				}
				w.store.Close()
			})
		})
	}
}
