package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/check"
	"redis-cert-agent/agent/discover"
	"redis-cert-agent/reload/redistest"
)

// hostOf is a host with these servers, and files in a directory.
func hostOf(t *testing.T, confs string, servers ...*redistest.Server) checkOptions {
	t.Helper()
	proc := t.TempDir()
	links := []string{"self", "1"}
	for _, s := range servers {
		links = append(links, strconv.Itoa(s.PID()))
	}
	for _, name := range links {
		if err := os.Symlink("/proc/"+name, filepath.Join(proc, name)); err != nil {
			t.Fatal(err)
		}
	}
	return checkOptions{config: "/nowhere/config.yaml", timeout: 5 * time.Second,
		places: discover.Places{Proc: proc, Confs: []string{confs}}}
}

func checkHost(t *testing.T, o checkOptions) (r check.Report, talk string) {
	t.Helper()
	var said bytes.Buffer
	targets, err := o.targets(context.Background(), &said)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = check.Run(context.Background(), targets, time.Now(), func() {}); err != nil {
		t.Fatal(err)
	}
	return r, said.String()
}

// A check of which nothing is said looks at what runs here: each server by the CA that
// its own file names, and its files.
func TestCheckHost(t *testing.T) {
	s := redistest.Start(t, redistest.Options{Socket: true, AuthClients: "yes"})
	r, talk := checkHost(t, hostOf(t, s.Dir+"/*.conf", s))
	if r.State != check.OK || len(r.Targets) != 3 {
		t.Errorf("%+v", r)
	}
	want := "-server (pid " + strconv.Itoa(s.PID()) + ", user "
	if !strings.Contains(talk, want) || !strings.Contains(talk, "/redis.conf: TLS at "+s.Addr+", master, tls-auth-clients yes\n") {
		t.Errorf("%s\nwant %s", talk, want)
	}
}

func TestCheckHostFindsWhatDiffers(t *testing.T) {
	s := redistest.Start(t, redistest.Options{Socket: true})
	other := s.CA.Issue(t, redistest.Leaf{}).Write(t, t.TempDir())
	if out, err := exec.Command("redis-cli", "-e", "-s", s.Socket, "CONFIG", "SET", "tls-cert-file", other.Cert, "tls-key-file", other.Key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r, _ := checkHost(t, hostOf(t, s.Dir+"/*.conf", s))
	var text bytes.Buffer
	if err := r.WriteText(&text, check.Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"warning: it runs with tls-cert-file " + other.Cert + ", and ", "warning: it runs with tls-key-file " + other.Key} {
		if !strings.Contains(text.String(), want) || r.State != check.Warning {
			t.Errorf("%s\ndoes not say %q", text.String(), want)
		}
	}
}

// Of a server whose file is closed the title or the ports tell where TLS may be.
func TestCheckHostWithoutFiles(t *testing.T) {
	s := redistest.Start(t, redistest.Options{Plain: true, Password: "hunter2"})
	r, talk := checkHost(t, hostOf(t, "/nowhere/*", s))
	if len(r.Targets) != 1 || r.Targets[0].Target != s.Addr || r.Targets[0].Kind != check.Server {
		t.Errorf("%+v\n%s", r, talk)
	}
	stopped := redistest.Start(t, redistest.Options{})
	stopped.Stop()
	if r, talk = checkHost(t, hostOf(t, stopped.Dir+"/*.conf")); len(r.Targets) != 2 || !strings.Contains(talk, "found redis-server (not running), ") {
		t.Errorf("%+v\n%s", r, talk)
	}
}

func TestCheckHostFindsNothing(t *testing.T) {
	plain := redistest.Start(t, redistest.Options{NoTLS: true, Plain: true})
	for _, o := range []checkOptions{hostOf(t, "/nowhere/*"), hostOf(t, plain.Dir+"/*.conf", plain)} {
		var talk bytes.Buffer
		_, err := o.targets(context.Background(), &talk)
		if err == nil || !strings.Contains(err.Error(), "nothing to check: there is no redis-server with TLS on this host; name a server as HOST:PORT") {
			t.Errorf("%v\n%s", err, talk.String())
		}
	}
}
