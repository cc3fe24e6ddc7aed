package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotRegular says that what was to be read is not a regular file: a pipe, a
// device or a directory, which could keep the reader waiting for ever.
var ErrNotRegular = errors.New("it is not a regular file")

// ErrTooLarge says that a file is larger than its reader takes.
var ErrTooLarge = errors.New("it is too large")

// open opens a file that others write, for reading. It does not wait (O_NONBLOCK,
// open(2)), and takes regular files only.
func open(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Read returns the content of a file that others write: of a regular file, without
// waiting, and at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	text, _, err := read(path, limit)
	return text, err
}

func read(path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, info, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	var text bytes.Buffer
	text.Grow(int(min(info.Size(), limit)) + bytes.MinRead) // two reads, where it stays as it is
	if _, err := text.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, nil, err
	}
	if int64(text.Len()) > limit {
		return nil, nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)}
	}
	return text.Bytes(), info, nil
}

// ErrHangs says that a file is still being read: what it lies on, for example a mount
// whose server is gone, does not answer.
var ErrHangs = errors.New("it is still being read: what it lies on does not answer")

// patience is how long ReadInTime waits.
const patience = 5 * time.Second

// A reading is one file being read. Nothing ends a system call on a mount that hangs, so
// that it can outlive who asked for it.
type reading struct {
	ended chan struct{} // closed when the rest is known
	text  []byte
	info  fs.FileInfo
	err   error

	late bool // nobody waits for it any longer
}

// readings holds those that have not ended, by path. They are the process', because a
// thread that hangs is.
var readings = struct {
	sync.Mutex
	of map[string]*reading
}{of: map[string]*reading{}}

// ReadInTime is Read for a file that may lie where reading hangs. It waits some seconds,
// and then not again while that attempt lasts: a path occupies one thread at most. It
// returns what is known of the file as well.
func ReadInTime(path string, limit int64) ([]byte, fs.FileInfo, error) {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for {
		r, mine := startReading(path, limit)
		if r == nil {
			return nil, nil, &fs.PathError{Op: "read", Path: path, Err: ErrHangs}
		}
		select {
		case <-r.ended:
			if mine {
				return r.text, r.info, r.err
			} // else the file may have changed since that began
		case <-enough.C:
			readings.Lock()
			r.late = true
			readings.Unlock()
			return nil, nil, &fs.PathError{Op: "read", Path: path, Err: ErrHangs}
		}
	}
}

// startReading begins to read a file, unless somebody does already. It returns nil where
// that hangs.
func startReading(path string, limit int64) (r *reading, mine bool) {
	readings.Lock()
	defer readings.Unlock()
	if r := readings.of[path]; r != nil && r.late {
		return nil, false
	} else if r != nil {
		return r, false
	}
	r = &reading{ended: make(chan struct{})}
	readings.of[path] = r
	go func() {
		r.text, r.info, r.err = read(path, limit)
		readings.Lock()
		delete(readings.of, path)
		readings.Unlock()
		close(r.ended)
	}()
	return r, true
}

// SameFile says whether two paths are equal, or lead to one file.
func SameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return a == b || errX == nil && errY == nil && os.SameFile(x, y)
}
