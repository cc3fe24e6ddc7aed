package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// flaky are files that can be watched or not.
type flaky struct {
	mu      sync.Mutex
	err     error
	changes chan struct{}
	asked   int
}

func (f *flaky) begin() (<-chan struct{}, func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.err != nil {
		return nil, nil, f.err
	}
	f.changes = make(chan struct{})
	return f.changes, func() {}, nil
}

// Where the kernel gives no watch, the files are looked at every minute, which is said
// once; when it gives one again, a change is a hint at once, and nothing else is.
func TestWatchGoesOnByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &Daemon{log: slog.New(slog.NewTextHandler(&log, nil))}
		files := &flaky{err: errors.New("too many open files")}
		hints, stop := d.watch(files.begin)
		defer stop()
		count := func(during time.Duration) (n int) {
			end := time.After(during)
			for {
				select {
				case <-hints:
					n++
				case <-end:
					return n
				}
			}
		}
		if n := count(10*time.Minute + time.Second); n != 10 {
			t.Errorf("%d hints in ten minutes without a watch", n)
		}
		if n := strings.Count(log.String(), "too many open files"); n == 0 || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("logged %q", log.String())
		}
		files.mu.Lock()
		files.err = nil
		files.mu.Unlock()
		if n := count(time.Minute); n != 1 {
			t.Errorf("%d hints when the watch begins, want 1 for what changed before", n)
		}
		if n := count(time.Hour); n != 0 {
			t.Errorf("%d hints although nothing changes", n)
		}
		synctest.Wait()
		files.mu.Lock()
		changes, asked := files.changes, files.asked
		files.mu.Unlock()
		changes <- struct{}{}
		if n := count(time.Minute); n != 1 {
			t.Errorf("%d hints after a change", n)
		}
		close(changes)
		n := count(time.Minute)
		files.mu.Lock()
		defer files.mu.Unlock()
		if n != 1 || files.asked != asked+1 {
			t.Errorf("%d hints, %d attempts after a watch ended", n, files.asked-asked)
		}
	})
}
