package acme

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"redis-cert-agent/agent/option"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/plain"
)

// maxOutput bounds what is kept of a command's output: its end.
const maxOutput = 4 << 10

// DNS01Command proves names, wildcards too, by TXT records that a command adds
// and removes (RFC 8555, section 8.4). It runs without a shell, once for each
// record, with three more arguments:
//
//	COMMAND... present _acme-challenge.redis1.internal. VALUE
//	COMMAND... cleanup _acme-challenge.redis1.internal. VALUE
//
// as lego's exec provider runs it, so that what was written for the one serves
// the other. Present ends with 0 once the zone's name servers have the record:
// nothing waits after it. Other records of the name must stay. Cleanup follows
// also after a present that failed.
//
// Nothing secret is passed. The environment is the agent's own, without what
// belongs to its service manager.
type DNS01Command struct {
	Command []string      // an absolute path, and the arguments that come first
	Timeout time.Duration // of one run; two minutes when zero
}

// DefaultDNS01Command returns what holds for a command of which nothing is said.
func DefaultDNS01Command() DNS01Command { return DNS01Command{Timeout: defaultWait} }

func (DNS01Command) kind() string { return kindDNS01 }

func (d DNS01Command) bound() time.Duration { return d.Timeout }

// Faults implements Challenge.
func (d DNS01Command) Faults(r option.Report) {
	option.Command(r, "command", d.Command, "[/usr/local/bin/dns-hook, --zone, internal]")
	waitFaults(r, d.Timeout)
}

// FileFaults implements Challenge.
func (d DNS01Command) FileFaults(r option.Report) {
	if len(d.Command) > 0 {
		option.Program(r, "command[0]", d.Command[0])
	}
}

func (d DNS01Command) open(context.Context, []string) (proof, error) {
	if _, err := exec.LookPath(d.Command[0]); err != nil {
		return nil, fmt.Errorf("dns-01: the command does not run: %w", err)
	}
	return &commandProof{d: d}, nil
}

// commandProof answers the challenges of one order through a command.
type commandProof struct {
	d     DNS01Command
	added []record
}

func (p *commandProof) present(ctx context.Context, c acme.Challenge) error {
	r := record{place: place{owner: dns.Fqdn(challengeName(c.Identifier.Value))}, value: c.DNS01KeyAuthorization()}
	p.added = append(p.added, r)
	return p.d.run(ctx, "present", r)
}

func (*commandProof) ready(context.Context, acme.Challenge) error { return nil }

func (p *commandProof) close(ctx context.Context) error {
	var errs []error
	for _, r := range p.added {
		if err := p.d.run(ctx, "cleanup", r); err != nil {
			errs = append(errs, err)
		}
	}
	p.added = nil
	return plain.Join(errs...)
}

// run runs the command once. When its time is over, run kills it and the processes
// that it started.
func (d DNS01Command) run(ctx context.Context, action string, r record) error {
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = defaultWait
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	args := append(append([]string{}, d.Command[1:]...), action, r.owner, r.value)
	cmd := exec.CommandContext(within, d.Command[0], args...)
	cmd.Env = environ(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil // it succeeded, and may leave processes running
	case ctx.Err() != nil:
		err = ctx.Err()
	case within.Err() != nil:
		err = fmt.Errorf("it did not end within %s", timeout)
	}
	text := fmt.Sprintf("%s %s %s", d.Command[0], action, r.owner)
	if said := ca.Clean(string(out), ca.MaxMessage); said != "" {
		return fmt.Errorf("%s: %w: %s", text, err, said)
	}
	return fmt.Errorf("%s: %w, and it says nothing", text, err)
}

// environ returns the environment without what the service manager tells the agent
// about itself (systemd.exec(5)). With NOTIFY_SOCKET, a command could report to the
// service manager in the agent's name.
func environ(all []string) []string {
	var kept []string
	for _, e := range all {
		name, _, _ := strings.Cut(e, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES":
		default:
			kept = append(kept, e)
		}
	}
	return kept
}

// tail keeps the last maxOutput bytes that are written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if over := len(*t) - maxOutput; over > 0 {
		*t = append((*t)[:0], (*t)[over:]...)
	}
	return len(p), nil
}
