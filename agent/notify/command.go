package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"
	"time"
)

// A Command is a program that gets each Message as JSON on its standard input.
// It runs without a shell, as often as there are messages, in / and with nothing
// of the agent's environment, because credentials and sockets are not its business.
// It has succeeded when it ends with 0.
type Command struct {
	Args []string // the absolute path, and the arguments
}

// Send implements Sender. When the time is over the program is killed, with all
// that it started.
func (c Command) Send(ctx context.Context, m Message) error {
	text, err := encode(m)
	if err != nil {
		return err
	}
	return c.Run(ctx, text)
}

// Run runs the program with what it gets on its standard input, until ctx ends.
func (c Command) Run(ctx context.Context, input []byte) error {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out head
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &out
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil // it has succeeded; what it left running is its own affair
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; let this user execute it, and under systemd name it in ExecPaths=", err)
	}
	if said := firstLine(out); said != "" {
		return fmt.Errorf("%s: %w: %s", c.Args[0], err, said)
	}
	return fmt.Errorf("%s: %w, and it says nothing", c.Args[0], err)
}

// head keeps the beginning of what is written to it.
type head []byte

func (h *head) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), maxBody-len(*h))]...)
	return len(p), nil
}
