package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A link that the agent's user bent is not followed: root would give away what only root
// may read.
func TestCopyBackFollowsTheAgentOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of other users")
	}
	const agent = 65534
	dir := t.TempDir()
	file := func(name string, uid int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		name   string
		target string
		want   string // what the file holds afterwards; empty: it stays a link
	}{
		{"the agent's file", file("pair", agent), "pair"},
		{"root's file", file("shadow", 0), ""},
		{"a file of a third", file("third", 65533), ""},
		{"a directory", dir, ""},
		{"nothing", filepath.Join(dir, "missing"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "redis.key")
			if err := os.Symlink(tt.target, path); err != nil {
				t.Fatal(err)
			}
			if err := os.Lchown(path, agent, agent); err != nil {
				t.Fatal(err)
			}
			err := rights{Path: path, UID: 0, GID: 0, Mode: 0o640}.copyBack()
			info, lerr := os.Lstat(path)
			if lerr != nil {
				t.Fatal(lerr)
			}
			if tt.want == "" {
				if err == nil || info.Mode().IsRegular() {
					t.Errorf("it was followed: %v, %v", err, info.Mode())
				}
				return
			}
			text, rerr := os.ReadFile(path)
			if err != nil || rerr != nil || string(text) != tt.want || info.Mode() != 0o640 {
				t.Errorf("%q, mode %v, %v, %v", text, info.Mode(), err, rerr)
			}
		})
	}
}

// Whatever a name or a path is, YAML reads it as that text: a configuration is never one
// that was not meant.
func TestScalar(t *testing.T) {
	for _, s := range []string{"redis1.internal", "127.0.0.1:6380", "https://ca.internal:9000"} {
		if got := scalar(s); got != s {
			t.Errorf("%q is written %s", s, got)
		}
	}
	for _, s := range []string{"", "no", "TRUE", "null", "a: b", "x:", "-", "*", "[a]", "a\nb", "{", "ü", "# c", "a #b", "'"} {
		if got := scalar(s); !strings.HasPrefix(got, `"`) {
			t.Errorf("%q is written bare: %s", s, got)
		}
	}
}
