package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"redis-cert-agent/agent/disk"
)

// withRights works on the plain path of r. Where the agent is root and the way to the
// path goes through a directory of another user, work has the rights of that user and no
// more: who can put a link there could otherwise have root take in a key that is
// somebody else's, or replace a file that is. The kernel checks these rights at each
// system call, so that nothing can change between a check and a use.
func (s *Store) withRights(r role, work func() error) error {
	owner, err := controller(s.paths[r], s.inCurrent(r))
	if err != nil {
		return err
	}
	if owner == nil {
		return work()
	}
	err = owner.run(work)
	if errors.Is(err, fs.ErrPermission) {
		err = &deniedError{*owner, err}
	}
	return err
}

// readPlain reads the plain path of r.
func (s *Store) readPlain(r role) (text []byte, err error) {
	err = s.withRights(r, func() error {
		text, err = readFile(s.paths[r])
		return err
	})
	return text, err
}

// An owner is a user in whose directory root works.
type owner struct {
	uid, gid int
	dir      string
}

// controller returns the owner of the first directory on the way of path, up to stop,
// that is not root's; nil when all are, and when the agent is not root. Those before it
// are root's, so that nobody else can change the answer. One of root's in which others can
// make links is an error: they have no one user whose rights would do.
func controller(path, stop string) (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	way, err := follow(path, stop)
	for _, entry := range way.steps {
		dir := filepath.Dir(entry)
		fi, err := os.Lstat(dir)
		if err != nil {
			return nil, err
		}
		if st := fi.Sys().(*syscall.Stat_t); st.Uid != 0 {
			return &owner{int(st.Uid), int(st.Gid), dir}, nil
		}
		if err := rootsAlone(dir, entry, fi); err != nil {
			return nil, err
		}
	}
	return nil, err
}

// rootsAlone returns why others than root can decide where entry in root's directory dir
// leads; nil when they cannot. With the sticky bit an entry of root's stays root's.
func rootsAlone(dir, entry string, fi fs.FileInfo) error {
	if fi.Mode().Perm()&0o022 == 0 {
		return nil
	}
	if fi.Mode()&fs.ModeSticky != 0 {
		if own, err := os.Lstat(entry); err == nil && ownerOf(own) == 0 {
			return nil
		}
	}
	who := "every user of this host"
	if fi.Mode().Perm()&0o002 == 0 {
		who = fmt.Sprintf("every member of group %d", fi.Sys().(*syscall.Stat_t).Gid)
	}
	return fmt.Errorf("%s: %s can put links into %s (mode %04o), and root does not follow these: chmod go-w %[3]s, or run the agent as a user of its own", entry, who, dir, fi.Mode().Perm())
}

// run does work with the rights of the owner.
func (o *owner) run(work func() error) error {
	gid, groups := o.groups()
	err := disk.As(o.uid, gid, groups, work)
	var not *disk.NotAsError
	if errors.As(err, &not) {
		return fmt.Errorf("work as user %d, who owns %s: %w", o.uid, o.dir, not.Err)
	}
	return err
}

// groups returns the groups of the user, or that of the directory where nothing is known
// of the user.
func (o *owner) groups() (gid int, others []uint32) {
	u, err := user.LookupId(strconv.Itoa(o.uid))
	if err != nil {
		return o.gid, nil
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return o.gid, nil
	}
	ids, _ := u.GroupIds() // fewer rights where they are not known
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			others = append(others, uint32(n))
		}
	}
	return gid, others
}

// deniedError says that the user in whose directory root works may not do what it was
// to do there.
type deniedError struct {
	owner owner
	cause error
}

func (e *deniedError) Error() string {
	return fmt.Sprintf("%v for user %d, who owns %s", e.cause, e.owner.uid, e.owner.dir)
}

func (e *deniedError) Unwrap() error { return e.cause }

func (e *deniedError) remedy() string {
	return fmt.Sprintf("root takes in and replaces there only what that user could: give user %d access to it, or name a path in a directory of root's", e.owner.uid)
}
