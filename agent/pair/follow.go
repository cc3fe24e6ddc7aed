package pair

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A trail is the way that the kernel takes from a path to a file.
type trail struct {
	linked bool     // it passes through `current` to the wanted file there
	exists bool     // there is something at its end; not asked when linked
	steps  []string // every name looked up on the way: a change of one can change the answer
	need   []string // the directories that hold a link of the way, or its end
}

// maxLinks is the kernel's own bound (path_resolution(7)).
const maxLinks = 40

// follow walks path, link by link, to its end or to `current`/name.
func (s *Store) follow(path, name string) (trail, error) {
	var t trail
	links := 0
	at, rest := "/", split(path)
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = filepath.Dir(at) // at has no links in it
			continue
		}
		next := filepath.Join(at, part)
		t.steps = append(t.steps, next)
		if next == filepath.Join(s.real, "current") && len(rest) == 1 && rest[0] == name {
			t.linked = true
			t.need = append(t.need, at)
			return t, nil
		}
		fi, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			t.need = append(t.need, at)
			return t, nil
		}
		if err != nil {
			return t, err
		}
		if fi.Mode()&fs.ModeSymlink == 0 {
			if len(rest) == 0 {
				t.need = append(t.need, at)
			}
			at = next
			continue
		}
		t.need = append(t.need, at)
		if links++; links > maxLinks {
			return t, &fs.PathError{Op: "follow", Path: path, Err: unix.ELOOP}
		}
		target, err := os.Readlink(next)
		if err != nil {
			return t, err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(split(target), rest...)
	}
	t.exists = true
	return t, nil
}

func split(path string) []string { return strings.Split(path, "/") }
