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
	stopped bool     // it came to where it was told to stop
	exists  bool     // there is something at its end; not asked when stopped
	steps   []string // every name looked up on the way: a change of one can change the answer
	need    []string // the directories that hold a link of the way, or its end
}

// maxLinks is the kernel's own bound (path_resolution(7)).
const maxLinks = 40

// follow walks path, link by link, to its end, or to the file stop, whose
// directory may be a link and is not followed. An empty stop is none.
func follow(path, stop string) (trail, error) {
	w := walk{path: path, stop: stop, at: "/", rest: split(path)}
	for len(w.rest) > 0 {
		if ended, err := w.step(); ended || err != nil {
			return w.trail, err
		}
	}
	w.exists = true
	return w.trail, nil
}

// A walk is a trail that has come as far as at.
type walk struct {
	trail
	path, stop string
	at         string   // a directory, without links
	rest       []string // the names that are still to be looked up
	links      int
}

// step looks up the next name.
func (w *walk) step() (ended bool, err error) {
	name := w.rest[0]
	w.rest = w.rest[1:]
	switch name {
	case "", ".":
		return false, nil
	case "..":
		w.at = filepath.Dir(w.at)
		return false, nil
	}
	next := filepath.Join(w.at, name)
	w.steps = append(w.steps, next)
	if w.isStop(next) {
		w.stopped = true
		w.need = append(w.need, w.at)
		return true, nil
	}
	fi, err := os.Lstat(next)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		w.need = append(w.need, w.at)
		return true, nil
	case err != nil:
		return true, err
	case fi.Mode()&fs.ModeSymlink != 0:
		return false, w.turn(next)
	}
	if len(w.rest) == 0 {
		w.need = append(w.need, w.at)
	}
	w.at = next
	return false, nil
}

// isStop says whether next and what is left of the path are where to stop.
func (w *walk) isStop(next string) bool {
	return len(w.rest) == 1 && next == filepath.Dir(w.stop) && w.rest[0] == filepath.Base(w.stop)
}

// turn goes where a link leads.
func (w *walk) turn(link string) error {
	w.need = append(w.need, w.at)
	if w.links++; w.links > maxLinks {
		return &fs.PathError{Op: "follow", Path: w.path, Err: unix.ELOOP}
	}
	target, err := os.Readlink(link)
	if err != nil {
		return err
	}
	if filepath.IsAbs(target) {
		w.at = "/"
	}
	w.rest = append(split(target), w.rest...)
	return nil
}

func split(path string) []string { return strings.Split(path, "/") }
