package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/reload"
)

// ErrNothing says that there is nothing to take back.
var ErrNothing = errors.New("init has done nothing here")

// Undo takes back what the plans for a configuration did, the last thing first, and says
// each. Password is that of Redis' default user; nil: none. What cannot be taken back is
// an error, and is tried again by the next call.
//
// The agent's own directory stays, since its keys may be in use: a redis-server that was
// started meanwhile may know no others.
func Undo(ctx context.Context, w io.Writer, config string, password []byte) error {
	r, err := readRecord(config)
	if err != nil {
		return err
	}
	if len(r.Entries) == 0 {
		return ErrNothing
	}
	var left []entry
	for _, e := range slices.Backward(r.Entries) {
		what, undone := e.undo(ctx, password)
		if undone != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", what, undone))
			left = append(left, e)
			continue
		}
		fmt.Fprintln(w, what)
	}
	slices.Reverse(left)
	r.Entries = left
	return errors.Join(err, r.write())
}

func (e entry) undo(ctx context.Context, password []byte) (what string, err error) {
	switch {
	case e.Wrote != nil:
		return e.Wrote.undo()
	case e.Rights != nil:
		return fmt.Sprintf("%s is again %v", e.Rights.Path, *e.Rights), e.Rights.giveBack()
	case e.Plain != nil:
		return e.Plain.path() + " is again a file of its own, with the newest certificate", missingIsFine(e.Plain.copyBack())
	case e.Redis != nil:
		return "redis at " + e.Redis.Address + " has what it had", e.Redis.undo(ctx, password)
	case e.Enabled != "":
		return e.Enabled + " is disabled and stopped", systemctl(ctx, "disable", "--now", e.Enabled)
	case e.Disabled != "":
		return e.Disabled + " is enabled again", systemctl(ctx, "enable", "--now", e.Disabled)
	}
	return "nothing", nil
}

// giveBack gives what is still there its rights again. A link becomes a file, with its
// rights, by the entry before.
func (r rights) giveBack() error {
	if r.link() {
		return nil
	}
	return missingIsFine(r.give())
}

func missingIsFine(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f wrote) undo() (string, error) {
	text, err := disk.Read(f.Path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.Path + " is gone already", nil
	case err != nil:
		return "remove " + f.Path, err
	case sum(text) != f.Sum:
		return f.Path + " was changed since, and is kept", nil
	}
	return "removed " + f.Path, os.Remove(f.Path)
}

func (r rights) path() string { return r.Path }

// copyBack makes a link into the agent's directory a file again, with the owner and mode
// that it had, so that the program that wrote it before can go on from it.
func (r rights) copyBack() error {
	if !r.link() {
		return nil
	}
	text, err := r.behind()
	if err != nil {
		return err
	}
	if err := disk.Replace(r.Path, text); err != nil {
		return err
	}
	return r.give()
}

// behind reads what a link leads to. The link is the agent's, and root reads: a file of
// another user than the link's is none that the agent could have shown anybody.
func (r rights) behind() ([]byte, error) {
	link, err := rightsOf(r.Path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(r.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if stat := info.Sys().(*syscall.Stat_t); !info.Mode().IsRegular() || int(stat.Uid) != link.UID {
		return nil, fmt.Errorf("%s leads to something else than a file of its owner: put the file back by hand", r.Path)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

func (s server) undo(ctx context.Context, password []byte) error {
	c := reload.Change{Parameters: s.Before, Gone: s.User}
	return via(s.Address, s.Control, password).Configure(ctx, reload.Trust{}, c)
}

// via is a way to a server's plaintext port or socket.
func via(address, control string, password []byte) *reload.Redis {
	s := reload.DefaultServer()
	s.Address, s.Control, s.Password = address, control, given(password)
	return reload.New(s)
}
