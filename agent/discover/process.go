package discover

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"redis-cert-agent/agent/disk"
)

// A Process is a running server, as /proc shows it to this user.
type Process struct {
	PID     int
	UID     int
	Program string // redis-server, valkey-server, redis-sentinel or valkey-sentinel
	Exe     string // empty: not to be seen

	cwd    string   // where it is now; empty: not to be seen
	parent int      // the process that started it
	argv   []string // as it was started; nil once Redis has written its title over it
	title  title

	Ports     []int // on which it listens; nil: not to be seen
	Elsewhere bool  // in another network namespace, as in a container
}

// title is what Redis tells of itself in its process title: proc-title-template is
// "{title} {listen-addr} {server-mode}".
type title struct {
	bind     string // "*": every interface
	port     int    // the plaintext port, or the TLS port where that is 0; 0: none
	socket   string // where there is no port at all
	sentinel bool
	cluster  bool
}

var programs = []string{"redis-server", "valkey-server", "redis-sentinel", "valkey-sentinel"}

// maxProc bounds what is read of one file in /proc.
const maxProc = 1 << 20

// processes returns the servers below proc, in the order of their process ids.
func processes(proc string) ([]Process, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(filepath.Join(proc, e.Name()), pid); ok {
			all = append(all, p)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].PID < all[j].PID })
	ids := make([]int, len(all))
	for i, p := range all {
		ids[i] = p.PID
	}
	// One that saves or rewrites is a fork of its server.
	return slices.DeleteFunc(all, func(p Process) bool { return slices.Contains(ids, p.parent) }), nil
}

// readProcess returns the process whose directory is dir. It is gone at any moment,
// and then none.
func readProcess(dir string, pid int) (Process, bool) {
	comm, err := disk.Read(filepath.Join(dir, "comm"), maxProc)
	p := Process{PID: pid, Program: string(bytes.TrimSpace(comm))}
	if err != nil || !slices.Contains(programs, p.Program) {
		return p, false
	}
	state, err := disk.Read(filepath.Join(dir, "status"), maxProc)
	if err != nil {
		return p, false
	}
	p.UID, p.parent = statusNumber(state, "Uid:", 1), statusNumber(state, "PPid:", 0)
	line, err := disk.Read(filepath.Join(dir, "cmdline"), maxProc)
	if err != nil || len(line) == 0 {
		return p, false // it has ended, and its parent has not looked
	}
	p.argv, p.title = commandLine(line)
	p.title.sentinel = p.title.sentinel || strings.HasSuffix(p.Program, "-sentinel") || slices.Contains(p.argv, "--sentinel")
	p.Exe, _ = os.Readlink(filepath.Join(dir, "exe")) // another user's is not shown
	p.cwd, _ = os.Readlink(filepath.Join(dir, "cwd"))
	p.Ports, _ = listens(dir)
	own, errOwn := os.Readlink(filepath.Join(dir, "../self/ns/net"))
	its, errIts := os.Readlink(filepath.Join(dir, "ns/net"))
	p.Elsewhere = errOwn == nil && errIts == nil && own != its
	return p, true
}

// statusNumber returns the number in a column of a line of /proc/PID/status; -1:
// there is none.
func statusNumber(status []byte, label string, column int) int {
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, label)
		if fields := strings.Fields(rest); ok && len(fields) > column {
			if n, err := strconv.Atoi(fields[column]); err == nil {
				return n
			}
		}
	}
	return -1
}

// commandLine tells a title from the arguments that a process was started with.
func commandLine(line []byte) (argv []string, t title) {
	args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	fields := strings.Fields(args[0])
	if len(args) > 1 || len(fields) < 2 {
		return args, title{}
	}
	t.socket, _ = strings.CutPrefix(fields[1], "unixsocket:")
	if t.socket == fields[1] {
		t.socket = ""
	}
	if i := strings.LastIndexByte(fields[1], ':'); i > 0 && t.socket == "" {
		t.bind, t.port = strings.TrimPrefix(fields[1][:i], "-"), number(fields[1][i+1:], 0)
	}
	t.sentinel = slices.Contains(fields, "[sentinel]")
	t.cluster = slices.Contains(fields, "[cluster]")
	return nil, t
}

// started returns the configuration file of the command line, and the options after
// it; empty where there is none, or where the title hides it.
func (p Process) started() (conf string, options []string) {
	if len(p.argv) < 2 {
		return "", nil
	}
	if strings.HasPrefix(p.argv[1], "-") {
		return "", p.argv[1:]
	}
	return p.argv[1], p.argv[2:]
}

// Hidden says whether the processes of other users are hidden from this one, as
// hidepid= of /proc and ProtectProc= of a unit do.
func hidden(proc string) bool {
	_, err := os.Stat(filepath.Join(proc, "1"))
	return errors.Is(err, fs.ErrNotExist)
}
