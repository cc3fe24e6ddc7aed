package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func put(t *testing.T, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretRead(t *testing.T) {
	dir := t.TempDir()
	for content, want := range map[string]string{
		"pw": "pw", "pw\n": "pw", "pw\r\n": "pw", "pw\n\n": "pw\n", " p w \n": " p w ", "pw\r": "pw\r",
	} {
		got, err := File(put(t, dir, "s", content, 0o640)).Read()
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
}

func TestSecretRefused(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	put(t, dir, "open", "hunter2", 0o644)
	put(t, dir, "exec", "hunter2", 0o601)
	put(t, dir, "empty", "\n", 0o600)
	put(t, dir, "huge", strings.Repeat("x", maxSecret+1), 0o600)
	for name, want := range map[string]string{
		"open":  "run: chmod 0640 " + dir + "/open",
		"exec":  "run: chmod 0600 " + dir + "/exec",
		"empty": "is empty",
		"huge":  "is larger than",
		"none":  "none",
	} {
		for _, s := range []Secret{File(filepath.Join(dir, name)), Credential(name, "")} {
			_, err := s.Read()
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: %v", s, err)
			}
		}
	}
	if _, err := File(dir).Read(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory: %v", err)
	}
	if _, err := (Secret{}).Read(); err == nil {
		t.Error("the zero secret was read")
	}
}

// systemd names the directory of the credentials after the unit.
// Of a credential the agent sees the copy that systemd made: how open the file was that it
// came from cannot be seen, and how open the copy is can.
func TestCredentialIsTheCopy(t *testing.T) {
	dir, etc := t.TempDir(), t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	original := put(t, etc, "redis-password", "hunter2", 0o644)
	put(t, dir, "redis-password", "hunter2", 0o400)
	if text, err := Credential("redis-password", "").Text(); err != nil || text != "hunter2" {
		t.Errorf("a closed copy of an open file: %q, %v", text, err)
	}
	if _, err := File(original).Read(); err == nil || !strings.Contains(err.Error(), "others can access "+original+" (mode 0644); run: chmod 0640") {
		t.Errorf("the open file itself: %v", err)
	}
	put(t, dir, "redis-password", "hunter2", 0o444)
	if _, err := Credential("redis-password", "").Read(); err == nil || !strings.Contains(err.Error(), "others can access") {
		t.Errorf("an open copy: %v", err)
	}
}

func TestInstanceIsToldItsOwnFile(t *testing.T) {
	for unit, want := range map[string]string{
		"redis-cert-agent.service":       "/etc/redis-cert-agent/redis-password)",
		"redis-cert-agent@cache.service": "/etc/redis-cert-agent/cache.redis-password)",
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(t.TempDir(), unit))
		_, err := Credential("redis-password", "password_file").Read()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "password_file: /path") {
			t.Errorf("%s: %v, want %s", unit, err, want)
		}
	}
}
