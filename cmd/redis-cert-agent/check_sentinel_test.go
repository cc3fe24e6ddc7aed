package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/check"
	"redis-cert-agent/reload/redistest"
)

// Three Sentinels of one host are found by their processes and files, and told to be
// restarted when the file has another certificate than they show.
func TestCheckSentinels(t *testing.T) {
	dir, ca := t.TempDir(), redistest.NewRoot(t)
	files := ca.Issue(t, redistest.Leaf{}).Write(t, dir)
	o := hostOf(t, dir+"/*.conf")
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		addr, name := redistest.FreeAddr(t), filepath.Join(dir, fmt.Sprintf("sentinel%d", i))
		_, port, _ := strings.Cut(addr, ":")
		text := "port 0\ntls-port " + port + "\nbind 127.0.0.1\ntls-auth-clients no\nlogfile " + name + ".log\ntls-cert-file " + files.Cert +
			"\ntls-key-file " + files.Key + "\ntls-ca-cert-file " + files.CA + "\nsentinel monitor m 127.0.0.1 1 2\n"
		if err := os.WriteFile(name+".conf", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, name+".conf", "--sentinel")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		for range 3000 {
			if log, _ := os.ReadFile(name + ".log"); strings.Contains(string(log), "Sentinel ID is") {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		id := strconv.Itoa(cmd.Process.Pid)
		if err := os.Symlink("/proc/"+id, filepath.Join(o.places.Proc, id)); err != nil {
			t.Fatal(err)
		}
	}
	r, talk := checkHost(t, o)
	if r.State != check.OK || len(r.Targets) != 5 || strings.Count(talk, ", Sentinel, tls-auth-clients no") != 3 {
		t.Errorf("%+v\n%s", r, talk)
	}
	ca.Issue(t, redistest.Leaf{}).Overwrite(t, files)
	r, _ = checkHost(t, o)
	var text bytes.Buffer
	if err := r.WriteText(&text, check.Style{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text.String(), "a Sentinel reads its certificate only when it starts: restart its unit"); n != 3 || r.State != check.Warning {
		t.Errorf("%d times\n%s", n, text.String())
	}
}
