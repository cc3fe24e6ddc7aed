package pair

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// checkOwners refuses a directory of the agent's in which another user could replace the
// pair: one that others can write to, and one below a directory of theirs. Root and the
// users in trusted may own what is on the way. In a directory with the sticky bit, like
// /tmp, only the owner of an entry can rename it (unlink(2), EPERM).
func (d *directory) checkOwners(trusted ...int) error {
	way, err := follow(d.dir, "")
	if err != nil {
		return explain("open directory", err)
	}
	trusted = append(trusted, 0)
	for _, entry := range way.steps {
		above := filepath.Dir(entry)
		fi, err := os.Lstat(above)
		if err != nil {
			return explain("open directory", err)
		}
		if owner := ownerOf(fi); !slices.Contains(trusted, owner) {
			return fmt.Errorf("directory %s: user %d could replace the key, because %s above it belongs to that user (mode %04o): chown root %[3]s, or choose another directory", d.dir, owner, above, fi.Mode().Perm())
		}
		if fi.Mode()&fs.ModeSticky != 0 {
			if fi, err = os.Lstat(entry); err == nil && slices.Contains(trusted, ownerOf(fi)) {
				continue
			}
			return fmt.Errorf("directory %s: %s, which leads to it, is another user's: choose another directory", d.dir, entry)
		}
		if d.openParent {
			continue
		}
		if err := d.closed(above, fi); err != nil {
			return fmt.Errorf("%w; where that is a volume which only trusted containers can write to, set files.open_parent: true", err)
		}
	}
	return nil
}

// closed refuses a directory that others than its owner can write to.
func (d *directory) closed(path string, fi fs.FileInfo) error {
	st, mode := fi.Sys().(*syscall.Stat_t), fi.Mode().Perm()
	who := "every user of this host"
	switch {
	case mode&0o022 == 0:
		return nil
	case mode&0o002 == 0:
		who = fmt.Sprintf("every member of group %d", st.Gid)
	}
	return fmt.Errorf("directory %s: %s can write to %s (owner %d, mode %04o) and replace the key: chmod go-w %[3]s", d.dir, who, path, st.Uid, mode)
}

func ownerOf(fi fs.FileInfo) int { return int(fi.Sys().(*syscall.Stat_t).Uid) }
