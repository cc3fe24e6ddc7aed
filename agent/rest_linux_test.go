package agent

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestUnchanged(t *testing.T) {
	const smaps = `00400000-00981000 r-xp 00000000 fe:00 10323595                           /usr/bin/agent
Rss:                5508 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
00981000-00fb7000 r--p 00581000 fe:00 10323595                           /usr/bin/agent
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
00fb7000-01000000 r--p 00581000 fe:00 10323595                           /usr/bin/agent
Anonymous:             4 kB
Swap:                  0 kB
VmFlags: rd mr mw me
01000000-01010000 r--p 00581000 fe:00 10323595                           /usr/bin/agent
Anonymous:             0 kB
Swap:                  4 kB
VmFlags: rd mr mw me
01010000-01027000 rw-p 00bb7000 fe:00 10323595                           /usr/bin/agent
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me ac
1837abc00000-1837ac400000 r--p 00000000 00:00 0 
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me
7f0000000000-7f0000001000 r-xp 00000000 fe:00 77                         /usr/lib/libc.so.6
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
`
	want := []mapping{{0x400000, 0x581000}, {0x981000, 0x636000}}
	if got := unchanged(strings.NewReader(smaps), "/usr/bin/agent"); !slices.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := unchanged(strings.NewReader(smaps), "/usr/bin/other"); got != nil {
		t.Errorf("got %x of another file", got)
	}
}

// The program goes on after it has given back its own pages.
func TestRest(t *testing.T) {
	before := residentFile(t)
	rest()
	if after := residentFile(t); after > before*3/4 {
		t.Errorf("%d KiB of files are mapped, %d before", after, before)
	}
}

// residentFile returns RssFile of this process in KiB.
func residentFile(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no RssFile in %s", status)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
