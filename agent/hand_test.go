package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBrokenInPlace: another hand writes into the current generation and does
// not finish. For a moment the agent leaves that alone, then it heals the disk:
// by the pair before, and without one by a new certificate.
func TestBrokenInPlace(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after int // certificates issued
	}{
		{"a pair before", 2, 2},
		{"the only pair", 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dir, 1)
				w.run()
				defer w.stop()
				synctest.Wait()
				w.redis[0].start(t)
				for w.ca.issued < tt.before {
					if err := w.renew(true); err != nil {
						t.Fatal(err)
					}
				}
				crt := filepath.Join(dir, "current", "redis.crt")
				if err := os.WriteFile(crt, []byte("half"), 0o600); err != nil {
					t.Fatal(err)
				}
				err := w.renew(false)
				if err == nil || !strings.Contains(err.Error(), crt) {
					t.Errorf("a renewal says %v, which does not name the file", err)
				}
				pass(9 * time.Second)
				if text, err := os.ReadFile(crt); err != nil || string(text) != "half" {
					t.Errorf("within the other hand's time the file became %q, %v", text, err)
				}
				pass(2 * time.Second)
				if !w.redis[0].serves.Leaf().Equal(w.disk()) || w.ca.issued != tt.after {
					t.Errorf("not healed, or by %d certificates, want %d", w.ca.issued, tt.after)
				}
			})
		})
	}
}
