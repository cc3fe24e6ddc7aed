package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/reload"
)

// maxFile bounds what is read of a file.
const maxFile = 1 << 20

// An entry is one thing that was done, with what is needed to take it back. One of its
// fields is set. It is on disk before the thing is done.
type entry struct {
	Wrote    *wrote  `json:"wrote,omitempty"`
	Rights   *rights `json:"rights,omitempty"`
	Plain    *rights `json:"plain,omitempty"` // a file that the agent replaces by a link
	Redis    *server `json:"redis,omitempty"`
	Enabled  string  `json:"enabled,omitempty"`  // a unit
	Disabled string  `json:"disabled,omitempty"` // a unit
}

// wrote is a file that was not there.
type wrote struct {
	Path string `json:"path"`
	Sum  string `json:"sha256"` // of what was written: a file that a person has changed since is kept
}

// rights are those that a file or directory had.
type rights struct {
	Path string      `json:"path"`
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
	Mode fs.FileMode `json:"mode"` // permissions and the bits of set-user-ID, set-group-ID and sticky
}

// server is what a Redis had.
type server struct {
	Address string             `json:"address"` // of plaintext
	Control string             `json:"control"`
	Before  []reload.Parameter `json:"before,omitempty"`
	User    string             `json:"user,omitempty"` // that was made
}

// record is what was done, the first thing first.
type record struct {
	path    string
	Servers []string `json:"servers"` // for whom, as a person named them
	Entries []entry  `json:"done"`
}

func recordPath(config string) string {
	base := filepath.Base(config)
	return filepath.Join(filepath.Dir(config), "."+base+".init")
}

func readRecord(config string) (*record, error) {
	r := &record{path: recordPath(config)}
	text, err := disk.Read(r.path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, fmt.Errorf("the record of what init did: %w", err)
	}
	return r, nil
}

func (r *record) add(e entry) error {
	r.Entries = append(r.Entries, e)
	return r.write()
}

// write puts the record on disk, or removes one that has nothing left.
func (r *record) write() error {
	if len(r.Entries) == 0 {
		if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return disk.Replace(r.path, append(text, '\n'))
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:])
}

// rightsOf returns what a file or directory has; a link is not followed.
func rightsOf(path string) (rights, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return rights{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	return rights{Path: path, UID: int(stat.Uid), GID: int(stat.Gid), Mode: info.Mode() & (fs.ModePerm | special)}, nil
}

// give gives a file or directory these rights. A link that somebody put in its place is
// not followed.
func (r rights) give() error {
	f, err := os.OpenFile(r.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if os.Geteuid() == 0 {
		if err := f.Chown(r.UID, r.GID); err != nil {
			return err
		}
	}
	return f.Chmod(r.Mode)
}

func (r rights) String() string { return fmt.Sprintf("%d:%d, mode %04o", r.UID, r.GID, r.Mode.Perm()) }
