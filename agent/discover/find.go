package discover

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"redis-cert-agent/agent/disk"
)

// Places are where servers are looked for.
type Places struct {
	Proc  string   // the directory of processes
	Confs []string // patterns of configuration files
}

// Usual are the places of a host, as Debian, Fedora and their like have them.
func Usual() Places {
	return Places{Proc: "/proc", Confs: []string{
		"/etc/redis/*.conf", "/etc/redis.conf", "/etc/redis-sentinel.conf", "/etc/valkey/*.conf", "/etc/valkey.conf", "/etc/valkey-sentinel.conf",
	}}
}

// A Server is one that runs, or would with its configuration file.
type Server struct {
	Settings          // by its configuration, where that could be read; else what its process shows
	Conf     string   // its configuration file; empty: none, or not known
	Running  *Process // nil: it does not run
	Warnings []string
}

// Found is what there is on this host, as far as it can be seen.
type Found struct {
	Servers []Server
	Hidden  []string // what this user may not see, each in a sentence's part
}

// Find looks at processes and files. It changes nothing, and asks no server.
func (p Places) Find() Found {
	var f Found
	confs := p.confs(&f)
	running, err := processes(p.Proc)
	switch {
	case err != nil:
		f.Hidden = append(f.Hidden, err.Error())
	case hidden(p.Proc):
		f.Hidden = append(f.Hidden, "the processes of other users")
	}
	for _, r := range running {
		s := Server{Running: &r}
		if i := s.own(confs); i >= 0 {
			s.take(confs[i])
			confs = slices.Delete(confs, i, i+1)
		}
		f.Servers = append(f.Servers, s)
	}
	for _, c := range confs {
		s := Server{}
		s.take(c)
		f.Servers = append(f.Servers, s)
	}
	return f
}

// File is Find for one configuration file. The error says why it cannot be read.
func (p Places) File(path string) (Server, error) {
	c, err := ReadConf(path, "", nil)
	if err != nil {
		return Server{}, err
	}
	s := Server{}
	running, _ := processes(p.Proc) // it is found without its process as well
	for _, r := range running {
		if t := (Server{Running: &r}); t.own([]*Conf{c}) == 0 {
			s.Running = &r
		}
	}
	s.take(c)
	return s, nil
}

// confs reads the configuration files in the usual places, but for those that others
// include or that are no server's.
func (p Places) confs(f *Found) (all []*Conf) {
	included := map[string]bool{}
	for _, pattern := range p.Confs {
		paths, err := filepath.Glob(pattern) // which ignores directories that are closed
		if dir := filepath.Dir(pattern); err == nil && len(paths) == 0 {
			if _, err := os.ReadDir(dir); err != nil && !isMissing(err) {
				f.hide(dir)
			}
		}
		for _, path := range paths {
			c, err := ReadConf(path, "", nil)
			if err != nil && !isMissing(err) {
				f.hide(err.Error())
			}
			if err != nil {
				continue
			}
			for _, other := range c.Files[1:] {
				included[other] = true
			}
			all = append(all, c)
		}
	}
	return slices.DeleteFunc(all, func(c *Conf) bool { return included[c.Path] || len(c.values) == 0 })
}

// Unseen says what this user could not see, to follow a sentence; empty: all was seen.
func (f Found) Unseen() string {
	if len(f.Hidden) == 0 {
		return ""
	}
	return " as far as this user can see (not " + strings.Join(f.Hidden, ", not ") + ")"
}

func (f *Found) hide(what string) {
	if !slices.Contains(f.Hidden, what) {
		f.Hidden = append(f.Hidden, what)
	}
}

func isMissing(err error) bool { return os.IsNotExist(err) }

// own returns which of confs the process was started with; -1: none of them, or it
// cannot be told. A file that its command line names is added to what is read.
func (s *Server) own(confs []*Conf) int {
	p := s.Running
	if p.Elsewhere { // its files are others
		s.Settings = p.title.settings()
		return -1
	}
	path, options := p.started()
	if path != "" || len(options) > 0 {
		return s.byCommandLine(confs, resolve(p.cwd, path), options)
	}
	found := -1
	for i, c := range confs {
		if !p.title.fits(c.Settings) {
			continue
		}
		if found >= 0 && p.family(c.Path) == p.family(confs[found].Path) { // two would do: neither is believed
			found = -1
			break
		}
		if found < 0 || p.family(c.Path) {
			found = i
		}
	}
	if found < 0 {
		s.Settings = p.title.settings()
	}
	return found
}

// family says whether a path is that of a program of this name, redis or valkey: a host may
// have the files of both.
func (p *Process) family(conf string) bool {
	return strings.Contains(conf, "valkey") == strings.HasPrefix(p.Program, "valkey")
}

func (s *Server) byCommandLine(confs []*Conf, path string, options []string) int {
	i := slices.IndexFunc(confs, func(c *Conf) bool { return path != "" && disk.SameFile(c.Path, path) })
	var c *Conf
	var err error
	if path == "" {
		c = &Conf{values: values{}}
		r := reader{conf: c, cwd: s.Running.cwd}
		r.text(optionLines(options), "the command line", nil)
		c.Settings = c.values.settings(s.Running.cwd)
	} else if c, err = ReadConf(path, s.Running.cwd, options); err != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("its configuration file cannot be read: %v", err))
		s.Settings, s.Conf = s.Running.title.settings(), path
		return i
	}
	if i >= 0 {
		*confs[i] = *c
		return i
	}
	s.take(c)
	return -1
}

// take takes what c says of the server.
func (s *Server) take(c *Conf) {
	s.Settings, s.Conf = c.Settings, c.Path
	s.Warnings = append(s.Warnings, c.Faults...)
	if s.Running != nil && s.Running.title.sentinel {
		s.Sentinel = true
	}
}

// fits says whether a server with these settings would have the title.
func (t title) fits(s Settings) bool {
	port := s.Port
	if port == 0 {
		port = s.TLSPort
	}
	if t.sentinel != s.Sentinel || t.port != port {
		return false
	}
	if port == 0 {
		return t.socket != "" && t.socket == s.Socket
	}
	first := "*"
	if len(s.Bind) > 0 {
		first = s.Bind[0]
	}
	return t.bind == trimDash(first) || t.bind == "*" && len(s.Bind) == 0
}

func trimDash(bind string) string {
	if len(bind) > 0 && bind[0] == '-' {
		return bind[1:]
	}
	return bind
}

// settings are what a title tells alone. Its port may be that of TLS.
func (t title) settings() Settings {
	s := Settings{Port: t.port, Socket: t.socket, Sentinel: t.sentinel, Cluster: t.cluster}
	if t.bind != "" && t.bind != "*" {
		s.Bind = []string{t.bind}
	}
	return s
}

// Candidates are the addresses at which the server may speak TLS, the likeliest first:
// its TLS port, where its configuration tells it, or else every port that it is seen to
// listen on. The port of a cluster's bus is none.
func (s Server) Candidates() []string {
	if a := s.Address(); a != "" || s.Conf != "" && len(s.Warnings) == 0 || s.Running == nil {
		if a == "" {
			return nil
		}
		return []string{a}
	}
	ports := slices.Clone(s.Running.Ports)
	if len(ports) == 0 && s.Port != 0 {
		ports = []int{s.Port}
	}
	const bus = 10000
	ports = slices.DeleteFunc(ports, func(p int) bool { return slices.Contains(s.Running.Ports, p-bus) })
	var all []string
	for _, port := range ports {
		all = append(all, s.reach(port))
	}
	return all
}

// String says which server it is: "redis-server (pid 812, user redis), /etc/redis/redis.conf".
func (s Server) String() string {
	text := "redis-server (not running)"
	if p := s.Running; p != nil {
		who := strconv.Itoa(p.UID)
		if !p.Elsewhere {
			who = userName(p.UID)
		}
		text = fmt.Sprintf("%s (pid %d, user %s)", p.Program, p.PID, who)
	}
	if s.Conf != "" {
		text += ", " + s.Conf
	}
	return text
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
