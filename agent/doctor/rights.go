package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/discover"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/status"
)

// rights looks whether the agent may write its directory and redis may read its files.
// What a running process may do is tried with its rights in its own root, so that the
// sandbox of its unit counts; what one that does not run could do is read off its unit.
func (v *visit) rights(ctx context.Context) {
	dir := v.c.Pair.Dir
	if !v.running && v.unit != nil && !v.c.External {
		if v.unit.writable(dir) {
			v.say(OK, Rights, dir, "the sandbox of "+v.c.Unit()+" lets the agent write there", "")
		} else {
			v.say(Fault, Rights, dir, "the sandbox of "+v.c.Unit()+" keeps the agent from writing there", v.dropIn("ReadWritePaths="+dir))
		}
		v.mayWrite(dir, v.unit["User"])
	}
	if os.Geteuid() != 0 {
		v.say(Unknown, Rights, "", "only root can try what redis may read", "sudo "+v.command())
		return
	}
	files := v.c.Pair.Named()
	for _, s := range v.host.places.Find().Servers {
		if p := s.Running; p != nil && !s.Sentinel && v.loads(s, files.Cert) {
			v.mayRead(p, files.Cert, files.Key, files.CA)
		}
	}
}

// dropIn is the command that adds a line to the agent's unit.
func (v *visit) dropIn(line string) string {
	unit := v.c.Unit()
	return fmt.Sprintf(`mkdir -p /etc/systemd/system/%s.service.d && printf '[Service]\n%s\n' > /etc/systemd/system/%[1]s.service.d/doctor.conf && systemctl daemon-reload && systemctl restart %[1]s`, unit, line)
}

// loads says whether a server names this pair, or its file is closed and it may.
func (v *visit) loads(s discover.Server, cert string) bool {
	if s.Cert != "" {
		return disk.SameFile(s.Cert, cert)
	}
	at := s.Candidates()
	return slices.ContainsFunc(v.s.Servers, func(known status.Server) bool { return slices.Contains(at, known.Address) })
}

// mayWrite says whether the user of the unit owns the directory.
func (v *visit) mayWrite(dir, name string) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) || name == "" {
		return // the unit makes it (StateDirectory=)
	}
	id, lookup := lookupUser(name)
	var st unix.Stat_t
	if err == nil {
		err = unix.Stat(dir, &st)
	}
	switch {
	case lookup != nil:
		v.say(Fault, Rights, name, "there is no such user: "+lookup.Error(), "systemd-sysusers")
	case err != nil:
		v.say(Unknown, Rights, dir, err.Error(), "")
	case int(st.Uid) != id.uid:
		v.say(Fault, Rights, dir, fmt.Sprintf("it belongs to uid %d (mode %04o), and the agent runs as %s", st.Uid, info.Mode().Perm(), name), "chown -R "+name+" "+dir)
	default:
		v.say(OK, Rights, dir, "it belongs to "+name, "")
	}
}

// mayRead tries to open files as a running server would when it is told to load them.
func (v *visit) mayRead(p *discover.Process, paths ...string) {
	who := fmt.Sprintf("%s (pid %d)", p.Program, p.PID)
	id, err := v.host.identity(p.PID)
	if err != nil {
		v.say(Unknown, Rights, who, err.Error(), "")
		return
	}
	root, err := os.Open(filepath.Join(v.host.places.Proc, strconv.Itoa(p.PID), "root"))
	if err != nil {
		v.say(Unknown, Rights, who, err.Error(), "")
		return
	}
	defer root.Close()
	for _, path := range paths {
		err := disk.As(id.uid, id.gid, id.groups, func() error { return openIn(root, path) })
		switch {
		case err == nil:
			continue
		case errors.Is(err, fs.ErrNotExist) && !exists(path):
			v.say(Warning, Rights, path, "it is not there yet", "redis-cert-agent renew --config "+v.Config)
		case errors.Is(err, fs.ErrNotExist):
			v.say(Fault, Rights, path, who+" does not see it: its unit's sandbox, or a container, hides it (ProtectSystem=, TemporaryFileSystem=, PrivateTmp=)", "nsenter -t "+strconv.Itoa(p.PID)+" -m ls -l "+path)
		default:
			v.say(Fault, Rights, path, fmt.Sprintf("%s, user %s, cannot open it: %v", who, id.name, err), "namei -l "+path)
		}
		return
	}
	v.say(OK, Rights, who, "user "+id.name+" can open certificate, key and CA certificates in its sandbox", "")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// openIn opens a file as a process with another root would, through its links (openat2(2)).
func openIn(root *os.File, path string) error {
	fd, err := unix.Openat2(int(root.Fd()), path, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// An identity is a user with its groups.
type identity struct {
	name     string
	uid, gid int
	groups   []uint32
}

// identity returns as whom a process accesses files.
func (h *host) identity(pid int) (id identity, err error) {
	text, err := disk.Read(filepath.Join(h.places.Proc, strconv.Itoa(pid), "status"), 64<<10)
	if err != nil {
		return id, err
	}
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		switch {
		case key == "Uid" && len(fields) == 4:
			id.uid, err = strconv.Atoi(fields[3]) // that of the file system
		case key == "Gid" && len(fields) == 4:
			id.gid, err = strconv.Atoi(fields[3])
		case key == "Groups":
			for _, f := range fields {
				if n, perr := strconv.ParseUint(f, 10, 32); perr == nil {
					id.groups = append(id.groups, uint32(n))
				}
			}
		}
		if err != nil {
			return id, err
		}
	}
	id.name = strconv.Itoa(id.uid)
	if u, err := user.LookupId(id.name); err == nil {
		id.name = u.Username
	}
	return id, nil
}

func lookupUser(name string) (identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, err
	}
	id := identity{name: u.Username}
	if id.uid, err = strconv.Atoi(u.Uid); err != nil {
		return identity{}, err
	}
	id.gid, err = strconv.Atoi(u.Gid)
	return id, err
}

// selinux looks at the label of the agent's directory. The policy lets redis_t read
// cert_t and redis_conf_t, and not the var_lib_t that a directory there is made with.
func (v *visit) selinux(context.Context) {
	if _, err := os.Stat(v.host.path("/sys/fs/selinux/enforce")); err != nil {
		return // there is none
	}
	buf := make([]byte, 256)
	dir := v.c.Pair.Dir
	n, err := unix.Getxattr(dir, "security.selinux", buf)
	if err != nil {
		v.say(Unknown, SELinux, dir, "its label cannot be read: "+err.Error(), "")
		return
	}
	v.label(dir, strings.TrimRight(string(buf[:n]), "\x00"))
}

func (v *visit) label(dir, label string) {
	for _, kind := range []string{"cert_t", "redis_conf_t", "etc_t"} {
		if strings.Contains(label, ":"+kind) {
			v.say(OK, SELinux, dir, label+", which redis may read", "")
			return
		}
	}
	v.say(Fault, SELinux, dir, label+", which the policy does not let redis read", fmt.Sprintf("semanage fcontext -a -t cert_t '%s(/.*)?' && restorecon -R %s", dir, dir))
}
