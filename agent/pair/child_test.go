package pair

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
)

// The test binary is also the process that is killed: with childEnv set it does
// one piece of work on a store and ends.
const childEnv = "PAIR_TEST_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		// One thread does all the work, so that strace, which counts the
		// system calls of each thread, counts them all.
		runtime.LockOSThread()
		restful = time.Hour // each run reads the same files, however long it takes
		if err := child(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A job is what a child does: open the store, and then each verb.
type job struct {
	Options Options
	Verbs   []string // put (the pair in New, then Switch), link, adopt, back, share, remember, prune, hold
	New     texts
}

func child(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	s, err := Open(j.Options)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, verb := range j.Verbs {
		if err := j.do(s, verb); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) do(s *Store, verb string) error {
	switch verb {
	case "put":
		p, err := cert.Parse(j.New[0], j.New[1], j.New[2])
		if err != nil {
			return err
		}
		g, err := s.Put(p, Origin{Method: "sign", Time: time.Now()})
		if err != nil {
			return err
		}
		return s.Switch(g.ID)
	case "link":
		return relink(s)
	case "adopt":
		st, err := s.Load()
		if err != nil {
			return err
		}
		_, err = s.Adopt(st.Foreign, Origin{Method: Adopted, Time: time.Now()})
		return err
	case "back":
		return s.Switch(1)
	case "share":
		return s.Share()
	case "remember":
		if _, err := s.Load(); err != nil {
			return err
		}
		return s.Remember()
	case "prune":
		return s.Prune()
	case "hold":
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent closes it
		return nil
	}
	return fmt.Errorf("no verb %q", verb)
}

// mutating are the system calls by which a process changes a disk, and fsync. A
// kill at any other one leaves what the next of these would find. Those with a
// question mark do not exist on every architecture.
const mutating = "openat,?open,mkdirat,?mkdir,unlinkat,?unlink,?rmdir,?renameat,renameat2,?rename,symlinkat,?symlink,linkat," +
	"fchmod,fchmodat,?chmod,fchown,fchownat,?chown,?lchown,write,pwrite64,fsync,ftruncate,flock"

func straceCommand(t testing.TB, j job, log string, args ...string) *exec.Cmd {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("%v: install it (apt install strace, dnf install strace): the tests kill the agent with it at each system call", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(strace, append(append([]string{"-f", "-y", "-qq", "-s", "0", "-o", log, "-e", "trace=" + mutating}, args...), self)...)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text), "GOMAXPROCS=1", "GOGC=off", "GOCOVERDIR="+filepath.Dir(log))
	return cmd
}

// straced runs a job and returns its output, and whether it was killed.
func straced(t testing.TB, j job, log string, args ...string) (out string, killed bool, err error) {
	t.Helper()
	cmd := straceCommand(t, j, log, args...)
	var buf bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &buf
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		ws := exit.Sys().(syscall.WaitStatus)
		killed = ws.Signaled() && ws.Signal() == syscall.SIGKILL
	}
	return strings.TrimSpace(buf.String()), killed, err
}

// A call is one system call of a job: the nth of its name that the thread does.
type call struct {
	name string
	nth  int
	text string
}

// inject returns the arguments that make strace do what at the call: strace
// counts each name for itself.
func (c call) inject(what string) []string {
	return []string{"-e", fmt.Sprintf("inject=%s:%s:when=%d", c.name, what, c.nth)}
}

// reads says that the call cannot change anything.
func (c call) reads() bool {
	return strings.HasPrefix(c.name, "open") && !strings.Contains(c.text, "O_CREAT")
}

// calls runs a job to its end and returns the system calls of its thread, from
// the first that names a path in from.
func calls(t testing.TB, j job, from string) (work []call) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "strace")
	if out, _, err := straced(t, j, log); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := logged(t, log)
	pid, _, _ := strings.Cut(lines[0], " ")
	count := map[string]int{}
	for _, line := range lines {
		who, text, _ := strings.Cut(line, " ")
		text = strings.TrimSpace(text)
		name, _, ok := strings.Cut(text, "(")
		if who != pid || !ok || strings.ContainsAny(name, " <") {
			continue // of another thread, or about a signal or an exit
		}
		count[name]++
		if len(work) > 0 || strings.Contains(text, from) {
			work = append(work, call{name, count[name], text})
		}
	}
	return work
}

// afterOpen is what calls takes for the work on a directory that is there.
func afterOpen(j job) string { return filepath.Join(j.Options.Dir, "lock") }

func logged(t testing.TB, log string) []string {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}
