package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kept.json")
	for _, text := range []string{"first", "second, and longer", ""} {
		if err := Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("got %q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(dir, TemporaryPrefix+"*"))
	if err != nil || left != nil {
		t.Errorf("left %q, %v", left, err)
	}
}

// Where the new content cannot be put in place, the old one stays and nothing is
// left behind.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kept.json")
	if err := os.MkdirAll(filepath.Join(path, "occupied"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("new")); err == nil || err.Error() != "replace "+path+": file exists" {
		t.Errorf("a directory replaced by a file: %v", err)
	}
	if err := Replace(filepath.Join(dir, "none", "file"), nil); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), TemporaryPrefix) {
		t.Errorf("a file in a directory that is not there: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, TemporaryPrefix+"*"))
	if err != nil || left != nil {
		t.Errorf("left %q, %v", left, err)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("x", 10)), 0o644); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe") // nobody ever writes to it
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := Read(file, 10); err != nil || len(text) != 10 {
		t.Errorf("got %q, %v", text, err)
	}
	for path, want := range map[string]error{file: ErrTooLarge, pipe: ErrNotRegular, dir: ErrNotRegular, "/dev/zero": ErrNotRegular, filepath.Join(dir, "none"): fs.ErrNotExist} {
		if _, err := Read(path, 9); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
