package acme

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"
)

const (
	defaultCommandTimeout = 2 * time.Minute
	// maxOutput bounds what is kept of a command's output: its end.
	maxOutput = 4 << 10
)

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

func (DNS01Command) kind() string { return acme.ChallengeTypeDNS01 }

func (d DNS01Command) valid() error {
	if len(d.Command) == 0 || !filepath.IsAbs(d.Command[0]) {
		return errors.New("the command for dns-01 must be a list that begins with an absolute path")
	}
	return nil
}

func (d DNS01Command) open(context.Context, []string) (proof, error) {
	if _, err := exec.LookPath(d.Command[0]); err != nil {
		return nil, fmt.Errorf("dns-01: the command does not run: %w", err)
	}
	return &commandProof{d: d}, nil
}

// commandProof shows the challenges of one order through a command.
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
	return inOneLine(errs)
}

// run runs the command once. When the time is over it is killed, with all that
// it started.
func (d DNS01Command) run(ctx context.Context, deed string, r record) error {
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = defaultCommandTimeout
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	args := append(append([]string{}, d.Command[1:]...), deed, r.owner, r.value)
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
		return nil // it ended well; what it left running is its own affair
	case ctx.Err() != nil:
		err = ctx.Err()
	case within.Err() != nil:
		err = fmt.Errorf("it did not end within %s", timeout)
	}
	text := fmt.Sprintf("%s %s %s", d.Command[0], deed, r.owner)
	if said := clean(string(out)); said != "" {
		return fmt.Errorf("%s: %w: %s", text, err, said)
	}
	return fmt.Errorf("%s: %w, and it says nothing", text, err)
}

// environ leaves out what the service manager tells the agent about itself
// (systemd.exec(5)): a command that found NOTIFY_SOCKET could speak for it.
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

// tail keeps the end of what is written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append(*t, p...)
	if over := len(*t) - maxOutput; over > 0 {
		*t = append((*t)[:0], (*t)[over:]...)
	}
	return len(p), nil
}
