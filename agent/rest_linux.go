package agent

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// breath is how long the loop must have waited before it rests: a round is
// often followed by another.
const breath = 2 * time.Second

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
	debug.FreeOSMemory()
	exe, err := os.Executable()
	if err != nil {
		return
	}
	// Without it (a kernel without CONFIG_PROC_PAGE_MONITOR) only the saving is lost.
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range unchanged(string(smaps), exe) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.size, unix.MADV_DONTNEED)
	}
}

// A mapping is a range of addresses.
type mapping struct{ start, size uintptr }

// unchanged returns the mappings of the file exe in /proc/PID/smaps (proc(5))
// that hold what is in the file and nothing else: not writable, and without a
// page of their own, in memory or swapped out, which relocations and debuggers
// make. A program's own file is never unmapped, so that the ranges stay true.
func unchanged(smaps, exe string) []mapping {
	var list []mapping
	var m mapping
	var good bool
	for line := range strings.Lines(smaps) {
		f := strings.Fields(line)
		switch {
		case !strings.HasSuffix(f[0], ":"): // 00400000-00981000 r-xp 00000000 fe:00 1032 /usr/bin/x
			m, good = parseMapping(f[0])
			good = good && len(f) > 5 && f[5] == exe && (f[1] == "r-xp" || f[1] == "r--p")
		case f[0] == "Anonymous:", f[0] == "Swap:":
			good = good && f[1] == "0"
		case f[0] == "VmFlags:" && good: // the last line of each
			list = append(list, m)
		}
	}
	return list
}

func parseMapping(field string) (mapping, bool) {
	from, to, _ := strings.Cut(field, "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return mapping{}, false
	}
	end, err := strconv.ParseUint(to, 16, 64)
	return mapping{uintptr(start), uintptr(end - start)}, err == nil && end > start
}
