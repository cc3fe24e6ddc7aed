package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// hungMount mounts a file system whose server answers nothing, and returns what ends it:
// whoever opens a file there waits in the kernel, deaf to everything.
func hungMount(t *testing.T, dir string) (end func()) {
	t.Helper()
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		err = unix.Mount("hung", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server.Fd()))
	}
	if err != nil {
		t.Skipf("a mount that hangs needs root and FUSE: %v", err)
	}
	end = sync.OnceFunc(func() {
		if err := errors.Join(unix.Unmount(dir, unix.MNT_DETACH), server.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return end
}

// readers counts the goroutines that read a file, hanging or not.
func readers() int {
	var all bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
	return bytes.Count(all.Bytes(), []byte("disk.startReading.func"))
}

// A file on a mount that hangs is given up after a while, then at once, and occupies one
// thread whoever asks for it how often. Other files are read meanwhile, and so is that
// one when the mount answers again.
func TestReadInTimeFromAHungMount(t *testing.T) {
	mount, dir := t.TempDir(), t.TempDir()
	end := hungMount(t, mount)
	path, other := filepath.Join(mount, "client.crt"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var asking sync.WaitGroup
		for range 20 {
			asking.Go(func() {
				if _, _, err := ReadInTime(path, 10); !errors.Is(err, ErrHangs) {
					t.Errorf("of a mount that hangs: %v", err)
				}
				if text, info, err := ReadInTime(other, 10); string(text) != "other" || info.Size() != 5 || err != nil {
					t.Errorf("another file: %q, %v", text, err)
				}
			})
		}
		asking.Wait()
		if n := readers(); n != 1 {
			t.Errorf("%d read the file that hangs", n)
		}
	}
	end()
	if err := os.WriteFile(path, []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
	for {
		text, _, err := ReadInTime(path, 10)
		if errors.Is(err, ErrHangs) || errors.Is(err, unix.ENOTCONN) {
			continue // the attempt from before ends as the mount does
		}
		if string(text) != "here" || err != nil {
			t.Errorf("after the mount has gone: %q, %v", text, err)
		}
		break
	}
	for readers() != 0 {
		runtime.Gosched() // the goroutine is about to end
	}
}

// Whoever asks reads what is there at that time, not what another reader found before.
func TestReadInTimeIsFresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := &reading{ended: make(chan struct{}), text: []byte("old")}
	readings.Lock()
	readings.of[path] = before
	readings.Unlock()
	go func() {
		readings.Lock()
		defer readings.Unlock()
		delete(readings.of, path)
		close(before.ended)
	}()
	if text, _, err := ReadInTime(path, 10); string(text) != "new" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
}
