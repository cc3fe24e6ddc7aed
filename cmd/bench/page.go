package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A machine is what the figures were measured on, without its name.
type machine struct {
	cores                                 int
	kernel, redis, golang, fs, load, arch string
}

func describeMachine(ctx context.Context, o options) (machine, error) {
	m := machine{cores: runtime.NumCPU(), golang: runtime.Version(), arch: runtime.GOARCH, fs: "another file system"}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, err
	}
	release := unix.ByteSliceToString(name.Release[:])
	m.kernel = regexp.MustCompile(`^\d+\.\d+`).FindString(release)
	version, err := command(ctx, o.redis, "--version")
	if err != nil {
		return m, fmt.Errorf("%w; install redis-server (apt install redis-server, dnf install redis)", err)
	}
	if v := regexp.MustCompile(`v=(\S+)`).FindStringSubmatch(version); v != nil {
		m.redis = v[1]
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(o.dir, &fs); err != nil {
		return m, err
	}
	for magic, known := range map[int64]string{
		unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
		unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	} {
		if fs.Type == magic {
			m.fs = known
		}
	}
	load, err := os.ReadFile("/proc/loadavg")
	m.load, _, _ = strings.Cut(string(load), " ")
	return m, err
}

// endOfPage ends what this program writes. What people write after it stays.
const endOfPage = "<!-- Up to here make bench writes this page. -->\n"

// replacePage writes page in place of the one that is in the file.
func replacePage(path, page string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, rest, _ := strings.Cut(string(old), endOfPage)
	return os.WriteFile(path, []byte(page+rest), 0o644)
}

// page is docs/benchmarks.md up to its endOfPage.
func (r results) page() string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	put(`# Benchmarks

    make bench

repeats all of this in about three minutes and fails when a figure is missed. What
takes time is given as a ratio of two medians of the same run, taken in turns;
milliseconds of one machine tell nothing about another. A megabyte is 10⁶ bytes.

Measured on %d cores (%s), Linux %s, %s, redis-server %s, %s, with a load average
of %s when it began. The CA is redis-cert-ca, a whole step-ca; redis-server speaks
TLS only and wants a password; the agent is the binary as it is released
(`+"`CGO_ENABLED=0 -trimpath -ldflags '-s -w'`"+`), each a process of its own, on
loopback, with P-256 keys.

| figure | measured | target | |
|---|---|---|---|
`, r.machine.cores, r.machine.arch, r.machine.kernel, r.machine.fs, r.machine.redis, r.machine.golang, r.machine.load)
	for _, f := range r.figures() {
		verdict := "met"
		if !f.met {
			verdict = "**missed**"
		}
		put("| %s | %s | %s | %s |\n", f.name, f.value, f.target, verdict)
	}
	b.WriteString(r.rotation.section())
	b.WriteString(r.idle.section())
	b.WriteString(r.endurance.section())
	b.WriteString(r.peer.section(r.rotation))
	b.WriteString(r.checked.section())
	b.WriteString("\n" + endOfPage)
	return b.String()
}

func (r rotation) section() string {
	var b strings.Builder
	fmt.Fprintf(&b, `
## One rotation and its parts

The whole is the time from a forced renewal on the daemon's control socket to its
answer, which comes when a fresh handshake has proven the new certificate. The
parts are what cannot be left out of a rotation, done by the shortest program:
Go's own HTTP and TLS clients, two commands written by hand, files and fsync.
Medians of %d turns; the sum of the parts is 1.

| | by the sum of the parts |
|---|---|
`, r.rounds)
	for _, name := range partNames {
		fmt.Fprintf(&b, "| %s | %s |\n", name, ratio(float64(r.parts[name])/float64(r.sum)))
	}
	fmt.Fprintf(&b, `| **all of this in the daemon** | **%s** |

Half of the turns lie between %s and %s; what the disk takes for an fsync differs
most. What the daemon does beside the parts: it looks at the disk three times and
at redis once before it acts, fetches the CA's roots, checks the certificate
before it touches the disk, asks redis for its setting and version before it sets
it, and logs. It also saves something: its files reach the disk in fewer commits of
the journal. The sum of the parts' medians differs a little from the median of
their sum.
`, ratio(r.ratio()), ratio(r.spread[0]), ratio(r.spread[1]))
	return b.String()
}

func (i idle) section() string {
	return fmt.Sprintf(`
## At rest

VmRSS and RssAnon are those of /proc/PID/status, read at the end of %s in which
nothing happened, after three rotations. Right after the third they were %s and
%s: some seconds after a round the agent gives back its heap and the mapped pages
of its own program. The latter are clean page cache that the kernel could take
anyway, so that VmRSS says more about a map than about memory; RssAnon is what
the agent really takes.

Wake-ups are voluntary context switches of all threads, in the same %s:

| | wake-ups |
|---|---|
| an empty Go program, waiting for a signal | %d |
| the agent | %d |
| the agent with WatchdogSec=%.0f, which pinged %d times | %d |

The agent's alarm is a timerfd for the next due date: nothing polls. A change of
a file beside its own, or beside a directory above, is an event and wakes it for
an instant; the bench runs where nobody else makes files.
`, seconds(i.window), megabytes(i.busy.rss<<10), megabytes(i.busy.anon<<10), seconds(i.window),
		i.empty, i.wakeups, watchdog.Seconds(), i.pings, i.watched)
}

func (e endurance) section() string {
	failure := ""
	if e.failed > 0 {
		failure = fmt.Sprintf("\nThe first failure: `%s`.\n", e.firstFailure)
	}
	return fmt.Sprintf(`
## %d rotations under load

%d clients keep a connection each and send a command every %s; another makes a new
connection every %s, verifies the certificate, and sends two. Nobody retries. The
agent is made to rotate %d times without a pause (and another %d times before,
by an agent that was then asked for its goroutines, by SIGQUIT): %d commands on
%d + %d connections, %d failed, %d dropped. The agent's vitals once it came to rest:

| after | VmRSS | RssAnon | open files | threads | goroutines | pairs on disk |
|---|---|---|---|---|---|---|
| %d rotations | %s | %s | %d | %d | %d | %d |
| %d rotations | %s | %s | %d | %d | %d | %d |
%s`, e.rotations, e.kept, pace, newEvery, e.rotations, e.earlyAfter,
		e.commands, e.kept, e.opened, e.failed, e.dropped,
		e.earlyAfter, megabytes(e.early.rss<<10), megabytes(e.early.anon<<10), e.early.files, e.early.threads, e.goroutines[0], e.generations[0],
		e.rotations, megabytes(e.late.rss<<10), megabytes(e.late.anon<<10), e.late.files, e.late.threads, e.goroutines[1], e.generations[1],
		failure)
}

func (p peer) section(r rotation) string {
	if p.step == "" {
		return `
## Beside step and redis-cli

Not measured: there was no step command, or no redis-cli.
`
	}
	return fmt.Sprintf(`
## Beside step and redis-cli

What a timer runs on a host without an agent: `+"`step ca renew --force`"+`, then
`+"`redis-cli CONFIG SET`"+` (%s, %d rounds). It keeps its key, writes the pair in
place and not at one stroke, syncs nothing and proves nothing; the daemon does
all of that.

| | by the daemon's rotation |
|---|---|
| time | %s |
| processor time of the two commands, by the daemon's | %s |
`, p.step, peerRounds, ratio(float64(p.wall)/float64(r.whole)), ratio(float64(p.cpu)/float64(r.cpu)))
}
