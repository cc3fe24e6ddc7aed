// Recording draws docs/rotation.svg, the picture in the README: a rotation by hand, as a
// terminal shows it. Agent, authority and redis-server are real, and so is what the
// commands print; only the temporary directory is written as what a package has. See make
// recording.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"redis-cert-agent/cmd/internal/testbed"
)

var load = testbed.LoadOptions{Kept: 8, Every: 5 * time.Millisecond, NewEvery: time.Second / 20}

func main() {
	var o testbed.Options
	o.Flags()
	out := flag.String("o", "docs/rotation.svg", "the `file` to write")
	flag.Parse()
	testbed.Main(time.Minute, o, func(ctx context.Context, t *testbed.Testbed) error {
		r := recorder{bed: t}
		if err := r.play(ctx); err != nil {
			return err
		}
		return os.WriteFile(*out, r.screen.draw(), 0o644)
	})
}

// A recorder has the commands of a person, and what they printed.
type recorder struct {
	bed    *testbed.Testbed
	host   *testbed.Host
	screen screen
}

// play starts a host under load and rotates its certificate.
func (r *recorder) play(ctx context.Context) (err error) {
	if r.host, err = r.bed.StartHost(ctx, "host", testbed.HostOptions{}); err != nil {
		return err
	}
	clients := r.host.StartLoad(ctx, load)
	defer clients.Stop()
	if err := testbed.Sleep(ctx, 3*time.Second); err != nil { // the agent proves, and looks at its host
		return err
	}
	pid := r.host.Redis.PID()
	shown := "openssl s_client -connect " + r.host.Address + " </dev/null 2>/dev/null | openssl x509 -noout -serial -enddate"
	for _, command := range []string{"redis-cert-agent status", shown, "redis-cert-agent renew --force", shown, "redis-cert-agent check --quiet"} {
		if err := r.run(ctx, command); err != nil {
			return err
		}
	}
	if r.host.Redis.PID() != pid {
		return fmt.Errorf("redis-server was pid %d and is %d", pid, r.host.Redis.PID())
	}
	clients.Stop()
	counts := clients.Counts()
	if counts.Failed > 0 {
		return fmt.Errorf("%s, the first: %w", counts, counts.First)
	}
	r.screen.prompt(fmt.Sprintf("# %d clients all the while: %s. redis-server is pid %d, as before", load.Kept, counts, pid))
	return nil
}

// run runs a command on a terminal, and shows what it prints.
func (r *recorder) run(ctx context.Context, command string) error {
	r.screen.prompt(command)
	const agent = `redis-cert-agent() { "$AGENT" "$@" --config "$CONFIG"; }; `
	cmd := exec.CommandContext(ctx, "bash", "-c", agent+command)
	cmd.Env = append(os.Environ(), "AGENT="+r.bed.Agent, "CONFIG="+r.host.Config)
	began := time.Now()
	text, err := onTerminal(cmd)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, text)
	}
	text = strings.NewReplacer(r.host.Path("pair"), "/var/lib/redis-cert-agent/default", r.host.Config, "/etc/redis-cert-agent/config.yaml",
		"instance host", "instance default").Replace(text)
	r.screen.print(text, time.Since(began))
	return nil
}

// onTerminal runs cmd on a pseudo-terminal (pty(7)) and returns what it wrote there.
func onTerminal(cmd *exec.Cmd) (string, error) {
	ctrl, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer ctrl.Close()
	if err := unix.IoctlSetPointerInt(int(ctrl.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return "", err
	}
	n, err := unix.IoctlGetInt(int(ctrl.Fd()), unix.TIOCGPTN)
	if err != nil {
		return "", err
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	cmd.Stdout, cmd.Stderr = tty, tty
	err = cmd.Start()
	tty.Close()
	if err != nil {
		return "", err
	}
	var all strings.Builder
	_, _ = ctrl.WriteTo(&all) // ends with EIO, when nobody has the other end any more
	return all.String(), cmd.Wait()
}
