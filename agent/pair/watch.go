package pair

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// Watch returns a channel of hints: something changed that redis would read,
// or that leads there. A hint says no more; [Store.Load] tells what. Any number
// of changes may be one hint, and changes that the store itself makes are among
// them.
//
// Call Watch first and then Load: what changes after Watch has returned causes
// a hint that is not lost, even if nobody receives at that moment.
//
// Directories are watched, not files, because files are replaced. So is every
// directory on the way whose change of one name would lead elsewhere. A
// directory that is removed, swapped, or replaced by a link is watched anew
// under the same name. (A mount is no event to the kernel, and none here.)
//
// The channel is closed when ctx ends, and also when watching cannot go on (the
// kernel's limits, a directory made unreadable); then Watch, called again, says
// why. Nothing wakes up while nothing changes; but a certificate of another hand
// in a directory that cannot be watched causes a hint every minute.
func (s *Store) Watch(ctx context.Context) (<-chan struct{}, error) {
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, explainWatch("", err)
	}
	w := &watcher{store: s, fsw: fsw, dirs: map[string]os.FileInfo{}}
	if err := w.follow(); err != nil {
		fsw.Close()
		return nil, err
	}
	hints := make(chan struct{}, 1)
	go w.run(ctx, hints)
	return hints, nil
}

type watcher struct {
	store *Store
	fsw   *fsnotify.Watcher
	dirs  map[string]os.FileInfo // watched directories, by their path without links
	names map[string]bool        // paths of which a change matters
	poll  time.Duration          // after which a hint comes in any case; 0: never
}

func (w *watcher) run(ctx context.Context, hints chan<- struct{}) {
	defer close(hints)
	defer w.fsw.Close()
	for {
		changed, ok := w.next(ctx)
		if !ok {
			return
		}
		if !changed {
			continue
		}
		// New watches first, the hint after: a change before the watch is
		// seen by the Load that follows the hint, one after it is an event.
		if err := w.follow(); err != nil {
			return
		}
		select {
		case hints <- struct{}{}:
		default: // one is waiting already
		}
	}
}

// next waits for one event and says whether it matters. It is not ok when
// watching is over.
func (w *watcher) next(ctx context.Context) (changed, ok bool) {
	select {
	case <-ctx.Done():
		return false, false
	case e, ok := <-w.fsw.Events:
		if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
			// A directory made in its place may get the same inode number.
			delete(w.dirs, e.Name)
		}
		return w.names[e.Name], ok
	case <-w.tick():
		return true, true
	case err := <-w.fsw.Errors:
		clear(w.dirs) // what became of them is lost with the events
		return true, errors.Is(err, fsnotify.ErrEventOverflow)
	}
}

// tick fires when a hint is due without an event.
func (w *watcher) tick() <-chan time.Time {
	if w.poll == 0 {
		return nil
	}
	return time.After(w.poll)
}

// follow brings the watches to where the paths lead now. It looks again after
// each addition, because the way may have changed before the watch was there.
func (w *watcher) follow() error {
	for {
		want, names := w.store.ways()
		w.names = names
		added, err := w.add(want)
		if err != nil {
			return err
		}
		if !added {
			w.drop(want)
			w.poll = w.store.pollEvery()
			return nil
		}
	}
}

func (w *watcher) add(want map[string]bool) (added bool, err error) {
	for dir, needed := range want {
		fi, err := os.Stat(dir)
		if err == nil {
			if have, ok := w.dirs[dir]; ok && os.SameFile(have, fi) {
				continue
			}
			_ = w.fsw.Remove(dir) // of its predecessor; it may be gone already
			err = w.fsw.Add(dir)
		}
		switch {
		case err == nil:
			w.dirs[dir] = fi
			added = true
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			// Gone since the way was walked. The directory above is watched.
			delete(w.dirs, dir)
		case needed, !errors.Is(err, fs.ErrPermission):
			return added, explainWatch(dir, err)
		}
	}
	return added, nil
}

func (w *watcher) drop(want map[string]bool) {
	for _, dir := range w.fsw.WatchList() {
		if _, ok := want[dir]; !ok {
			_ = w.fsw.Remove(dir) // it may be gone already
			delete(w.dirs, dir)
		}
	}
}

// ways returns the directories to watch, true for those that cannot be done
// without, and the paths in them of which a change matters. The others lie
// above: they say when a whole branch is moved, and not everyone may read them.
func (s *Store) ways() (dirs, names map[string]bool) {
	dirs, names = map[string]bool{}, map[string]bool{}
	walk := func(path, name string) {
		t, err := s.follow(path, name)
		for _, step := range t.steps {
			names[step] = true
			if dir := filepath.Dir(step); !dirs[dir] {
				dirs[dir] = false
			}
		}
		for _, dir := range t.need {
			dirs[dir] = dirs[dir] || err == nil && (s.theirs == nil || readable(dir))
		}
	}
	if s.theirs != nil {
		for _, path := range s.theirs.paths {
			if path != "" {
				walk(path, "")
			}
		}
		return dirs, names
	}
	for r, name := range fileNames {
		walk(filepath.Join(s.dir, "current", name), "")
		if s.paths[r] != "" {
			walk(s.paths[r], name)
		}
	}
	return dirs, names
}

func explainWatch(dir string, err error) error {
	switch {
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("watch %s: %w: raise fs.inotify.max_user_instances (sysctl) or the limit of open files", dir, err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("watch %s: %w: raise fs.inotify.max_user_watches (sysctl)", dir, err)
	}
	return explain("watch "+dir, err)
}
