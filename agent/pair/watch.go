package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// A Watcher tells that something changed that redis would read, or that leads
// there. A hint says no more; Load tells what. Any number of changes may be one
// hint, and changes that the agent itself makes are among them.
//
// Call Watch first and then Load: what changes after Watch has returned causes
// a hint that is not lost, even if nobody receives at that moment.
//
// Directories are watched, not files, because files are replaced. So is every
// directory on the way whose change of one name would lead elsewhere. A
// directory that is removed, swapped, or replaced by a link is watched anew
// under the same name. (A mount is no event to the kernel, and none here.)
// Nothing wakes up while nothing changes.
type Watcher struct {
	// Hints is closed when watching cannot go on (the kernel's limits, a
	// directory made unreadable); then Watch, called again, says why. It is
	// closed as well when Close has been called.
	Hints <-chan struct{}

	ways  func() ways
	fsw   *fsnotify.Watcher
	dirs  map[string]os.FileInfo // watched directories, by their path without links
	names map[string]bool        // paths of which a change matters
	poll  time.Duration          // after which a hint comes in any case; 0: never

	stop  chan struct{}
	ended sync.WaitGroup
}

// newWatcher watches what ways returns, which is asked again after each change.
func newWatcher(ways func() ways) (*Watcher, error) {
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, explainWatch("", err)
	}
	hints := make(chan struct{}, 1)
	w := &Watcher{Hints: hints, ways: ways, fsw: fsw, dirs: map[string]os.FileInfo{}, stop: make(chan struct{})}
	if err := w.follow(); err != nil {
		fsw.Close()
		return nil, err
	}
	w.ended.Go(func() { w.run(hints) })
	return w, nil
}

// Close ends the watch and returns when nothing of it is left. It is called
// once.
func (w *Watcher) Close() {
	close(w.stop)
	w.ended.Wait()
}

func (w *Watcher) run(hints chan<- struct{}) {
	defer close(hints)
	defer w.fsw.Close()
	for {
		changed, ok := w.next()
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
func (w *Watcher) next() (changed, ok bool) {
	select {
	case <-w.stop:
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
func (w *Watcher) tick() <-chan time.Time {
	if w.poll == 0 {
		return nil
	}
	return time.After(w.poll)
}

// follow brings the watches to where the paths lead now. It looks again after
// each addition, because the way may have changed before the watch was there.
func (w *Watcher) follow() error {
	for {
		want := w.ways()
		w.names, w.poll = want.names, want.poll
		added, err := w.add(want.dirs)
		if err != nil {
			return err
		}
		if !added {
			w.drop(want.dirs)
			return nil
		}
	}
}

func (w *Watcher) add(want map[string]bool) (added bool, err error) {
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

func (w *Watcher) drop(want map[string]bool) {
	for _, dir := range w.fsw.WatchList() {
		if _, ok := want[dir]; !ok {
			_ = w.fsw.Remove(dir) // it may be gone already
			delete(w.dirs, dir)
		}
	}
}

// ways is what has to be watched.
type ways struct {
	// dirs are the directories, true for those that cannot be done without.
	// The others lie above: they say when a whole branch is moved, and not
	// everyone may read them.
	dirs  map[string]bool
	names map[string]bool // paths in them of which a change matters
	poll  time.Duration   // when to look without an event; 0: never
}

func newWays() ways { return ways{dirs: map[string]bool{}, names: map[string]bool{}} }

// add adds the way from path to its end, or to stop.
func (w ways) add(path, stop string) {
	t, err := follow(path, stop)
	for _, step := range t.steps {
		w.names[step] = true
		if dir := filepath.Dir(step); !w.dirs[dir] {
			w.dirs[dir] = false
		}
	}
	for _, dir := range t.need {
		w.dirs[dir] = w.dirs[dir] || err == nil
	}
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
