package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/status"
)

// clock looks at this host's clock, and at that of the authority.
func (v *visit) clock(context.Context) {
	if !v.looked {
		return
	}
	if v.s.Clock != "" {
		found, remedy := split(v.s.Clock, "")
		v.say(Fault, Clock, "", found, orElse(remedy, "timedatectl set-ntp true"))
		return
	}
	if !v.s.Synchronised {
		v.say(Warning, Clock, "", "it is "+plain.Time(v.report.Now)+", and nothing synchronises it", "timedatectl set-ntp true")
		return
	}
	v.say(OK, Clock, "", "it is "+plain.Time(v.report.Now)+", synchronised, and near that of the authority", "")
}

// authorities tells what the rehearsal found of each.
func (v *visit) authorities(context.Context) {
	if v.c.External {
		v.say(OK, Authority, "", "none: another program renews the pair", "")
	}
	for _, f := range v.findings(status.NeedAuthority) {
		v.finding(Authority, f)
	}
	if e := v.s.IssueError; e != nil {
		found, remedy := split(e.Text, "")
		v.say(Fault, Authority, "", "the last attempt at a certificate failed "+plain.Ago(v.report.Now, e.At)+": "+found, remedy)
	}
}

// names looks where each name of the certificate leads from here. A name that leads
// elsewhere is right behind a load balancer, so that it is no fault.
func (v *visit) names(ctx context.Context) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		v.say(Unknown, Names, "", "the addresses of this host cannot be read: "+err.Error(), "")
		return
	}
	here := func(ip net.IP) bool {
		for _, a := range own {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
				return true
			}
		}
		return ip.IsLoopback()
	}
	for _, name := range v.c.Names {
		if ip := net.ParseIP(name); ip != nil {
			if here(ip) {
				v.say(OK, Names, name, "an address of this host", "")
			} else {
				v.say(Warning, Names, name, "no interface of this host has this address", "ip address; or correct names in "+v.Config)
			}
			continue
		}
		if strings.HasPrefix(name, "*.") {
			continue // it is no host
		}
		v.resolve(ctx, name, here)
	}
}

func (v *visit) resolve(ctx context.Context, name string, here func(net.IP) bool) {
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, name)
	if err != nil {
		v.say(Warning, Names, name, "does not resolve on this host: "+err.Error(), "echo '127.0.0.1 "+name+"' >> /etc/hosts; or add it to the DNS")
		return
	}
	var texts []string
	local := false
	for _, ip := range ips {
		texts = append(texts, ip.String())
		local = local || here(ip.IP)
	}
	text := "resolves to " + strings.Join(texts, ", ")
	if !local {
		v.say(Warning, Names, name, text+", none of which is this host", "getent hosts "+name+"; right where a load balancer is in front")
		return
	}
	v.say(OK, Names, name, text+", this host", "")
}

// ports looks whether the addresses that the agent would open are free, or its own.
func (v *visit) ports(ctx context.Context) {
	if v.c.Metrics.Listen == "" || v.running {
		return // it has them
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", v.c.Metrics.Listen)
	if err != nil {
		_, port, _ := net.SplitHostPort(v.c.Metrics.Listen)
		v.say(Fault, Ports, v.c.Metrics.Listen, "metrics.listen cannot be opened: "+err.Error(), "ss -ltnp 'sport = :"+port+"'")
		return
	}
	l.Close()
	v.say(OK, Ports, v.c.Metrics.Listen, "free for metrics.listen", "")
}

// What a disk should have left: a pair with its CA certificates has a few kilobytes, and
// a bundle of all public roots a quarter of a megabyte, of which some generations are kept.
const (
	leastBytes  = 8 << 20
	fewBytes    = 64 << 20
	leastInodes = 64
	fewInodes   = 1024
)

// disk looks at the space for new pairs, and tells what the rehearsal found there.
func (v *visit) disk(context.Context) {
	for _, f := range v.findings(status.NeedDisk) {
		v.finding(Disk, f)
	}
	dir := v.c.Pair.Dir
	space, err := disk.SpaceAt(dir)
	if err != nil {
		v.say(Unknown, Disk, dir, err.Error(), "")
		return
	}
	inodes := fmt.Sprintf("%d inodes", space.Inodes)
	if space.AnyInodes {
		inodes, space.Inodes = "inodes as needed", fewInodes
	}
	state, remedy := OK, ""
	switch {
	case space.Bytes < leastBytes, space.Inodes < leastInodes:
		state = Fault
	case space.Bytes < fewBytes, space.Inodes < fewInodes:
		state = Warning
	}
	if state != OK {
		remedy = "df -h " + dir + "; df -i " + dir
	}
	v.say(state, Disk, dir, plain.Bytes(space.Bytes)+" and "+inodes+" free", remedy)
}

// inotify looks at the limits of the kernel: without a watch the agent sees changed files
// minutes later.
func (v *visit) inotify(context.Context) {
	limit := func(name string) int {
		text, err := disk.Read(v.host.path("/proc/sys/fs/inotify/"+name), 64)
		if err != nil {
			return -1
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return -1
		}
		return n
	}
	instances, watches := limit("max_user_instances"), limit("max_user_watches")
	if instances < 0 || watches < 0 {
		v.say(Unknown, Inotify, "", "the limits of inotify cannot be read", "")
		return
	}
	uid, who := os.Geteuid(), "this user"
	if u := v.unit["User"]; u != "" {
		if id, err := lookupUser(u); err == nil {
			uid, who = id.uid, u
		}
	}
	used := v.host.inotifyUsed(uid)
	text := fmt.Sprintf("%s has %d of %d instances, and each of its users %d watches", who, used, instances, watches)
	switch {
	case used >= instances && !v.running, watches < 16:
		v.say(Fault, Inotify, "", text, "sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536")
	case instances-used < 4, watches < 256:
		v.say(Warning, Inotify, "", text, "sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536")
	default:
		v.say(OK, Inotify, "", text, "")
	}
}

// inotifyUsed counts the instances of inotify of a user, as far as its processes can be
// looked at.
func (h *host) inotifyUsed(uid int) (n int) {
	processes, _ := filepath.Glob(filepath.Join(h.places.Proc, "[0-9]*"))
	for _, dir := range processes {
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil || int(st.Uid) != uid {
			continue
		}
		files, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
		for _, f := range files {
			if target, _ := os.Readlink(f); strings.Contains(target, "inotify") {
				n++
			}
		}
	}
	return n
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
