package agent

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// breath is how long the loop must have waited before it rests: a round is
// often followed by another.
const breath = 2 * time.Second

// frugal makes this process small while the loop runs, at the price of a round
// that takes a little longer a few times a day: a round is one straight line,
// which more processors do not shorten, and each of them has caches of its own.
func frugal() (undo func()) {
	processors, percent := runtime.GOMAXPROCS(1), debug.SetGCPercent(25)
	return func() {
		runtime.GOMAXPROCS(processors)
		debug.SetGCPercent(percent)
	}
}

// rest gives back what is not needed until the next step, which is hours away:
// the heap that a round has left, and the mapped pages of the program itself.
//
// The kernel maps a program's file in pieces of 64 KiB, so that one round maps
// nearly all of it, and mapped code is the last thing that it drops when memory
// is short. Nothing is lost: after MADV_DONTNEED "subsequent accesses of pages
// in the range will succeed, but will result in [...] repopulating the memory
// contents from the up-to-date contents of the underlying mapped file"
// (madvise(2)).
func rest() {
	runtime.GC() // what pools and finalizers hold on to goes with the second collection
	debug.FreeOSMemory()
	exe, err := os.Executable()
	if err != nil {
		return
	}
	// Without it (a kernel without CONFIG_PROC_PAGE_MONITOR) only the saving is lost.
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	for _, m := range unchanged(smaps, exe) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.size, unix.MADV_DONTNEED)
	}
}

// A mapping is a range of addresses.
type mapping struct{ start, size uintptr }

// unchanged returns the mappings of the file exe in /proc/PID/smaps (proc(5))
// that hold what is in the file and nothing else: not writable, and without a
// page of their own, in memory or swapped out, which relocations and debuggers
// make. A program's own file is never unmapped, so that the ranges stay true.
func unchanged(smaps io.Reader, exe string) []mapping {
	var list []mapping
	var m mapping
	var good bool
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Bytes() // a thousand of them: strings would be garbage that stays
		switch {
		case bytes.HasPrefix(line, []byte("Anonymous:")), bytes.HasPrefix(line, []byte("Swap:")):
			good = good && bytes.HasSuffix(line, []byte(" 0 kB"))
		case bytes.HasPrefix(line, []byte("VmFlags:")): // the last line of each
			if good {
				list = append(list, m)
			}
		case len(line) > 0 && (line[0] < 'A' || line[0] > 'Z'):
			m, good = parseMapping(strings.Fields(string(line)), exe)
		}
	}
	return list
}

// parseMapping reads the first line of a mapping and says whether it is one of
// exe that cannot be written to:
// 00400000-00981000 r-xp 00000000 fe:00 1032 /usr/bin/x
func parseMapping(f []string, exe string) (mapping, bool) {
	if len(f) < 6 || f[5] != exe || f[1] != "r-xp" && f[1] != "r--p" {
		return mapping{}, false
	}
	from, to, _ := strings.Cut(f[0], "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return mapping{}, false
	}
	end, err := strconv.ParseUint(to, 16, 64)
	return mapping{uintptr(start), uintptr(end - start)}, err == nil && end > start
}
