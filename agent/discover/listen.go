package discover

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"redis-cert-agent/agent/disk"
)

// listens returns the TCP ports on which the process of dir, a directory of /proc,
// listens. Which sockets are its own is shown to its user and to root only.
func listens(dir string) ([]int, error) {
	own, err := sockets(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, err
	}
	ports := []int{}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		text, err := disk.Read(filepath.Join(dir, table), 16<<20)
		if err != nil {
			continue // a kernel without IPv6
		}
		ports = append(ports, listening(string(text), own)...)
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// sockets returns the inodes of the sockets among the open files in dir.
func sockets(dir string) (map[string]bool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	inodes := map[string]bool{}
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(dir, e.Name()))
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return inodes, nil
}

// listening returns the ports of the sockets in a table like /proc/net/tcp that listen
// and are among inodes (proc_pid_net(5)).
func listening(table string, inodes map[string]bool) (ports []int) {
	const local, state, inode, listen = 1, 3, 9, "0A"
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) <= inode || fields[state] != listen || !inodes[fields[inode]] {
			continue
		}
		_, hex, _ := strings.Cut(fields[local], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			ports = append(ports, int(port))
		}
	}
	return ports
}
