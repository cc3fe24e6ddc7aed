package config

import (
	"errors"
	"os"
	"os/user"
	"slices"
	"strconv"
)

// accounts turns the names of users and groups into numbers.
type accounts interface {
	user(name string) (int, error)
	group(name string) (int, error)
	// defaultGroup is the group of redis if this process may give files to
	// it, else -1.
	defaultGroup() int
}

// systemAccounts looks into the host's databases. A binary that is built
// without cgo reads /etc/passwd and /etc/group only; accounts of a directory
// service are then given by number.
type systemAccounts struct{}

func (systemAccounts) user(name string) (int, error) {
	if id, ok := accountNumber(name); ok {
		return id, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, errors.New("is not a user of this host; create it, or write its number")
	}
	return strconv.Atoi(u.Uid)
}

func (systemAccounts) group(name string) (int, error) {
	if id, ok := accountNumber(name); ok {
		return id, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, errors.New("is not a group of this host; create it, or write its number")
	}
	return strconv.Atoi(g.Gid)
}

func (a systemAccounts) defaultGroup() int {
	id, err := a.group("redis")
	if err != nil {
		return -1
	}
	// chown(2): an unprivileged owner may give a file only to a group of
	// which it is a member.
	groups, _ := os.Getgroups()
	if os.Geteuid() == 0 || os.Getegid() == id || slices.Contains(groups, id) {
		return id
	}
	return -1
}

// accountNumber takes the number of an account, or "" for the agent's own.
func accountNumber(name string) (int, bool) {
	if name == "" {
		return -1, true
	}
	id, err := strconv.ParseUint(name, 10, 31)
	return int(id), err == nil
}
