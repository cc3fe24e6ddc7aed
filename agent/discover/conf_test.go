package discover

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The lines are those of Redis' own test of sdssplitargs, and what its manual says.
func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		`port 6379`:                     {"port", "6379"},
		"  tls-port\t 6379 \r":          {"tls-port", "6379"},
		`requirepass "foo\"bar \x41\n"`: {"requirepass", "foo\"bar A\n"},
		`dir '/a b\'c\n'`:               {"dir", `/a b'c\n`},
		`a"b c" d`:                      {"ab c", "d"},
		`"\xzz\q"`:                      {"xzzq"},
		"\v\fa\vb":                      {"a\vb"},
		`""`:                            {""},
		`save ""`:                       {"save", ""},
		"":                              nil,
		`bind 127.0.0.1 -::1`:           {"bind", "127.0.0.1", "-::1"},
		`'single' "double"`:             {"single", "double"},
		`"a\\" b`:                       {`a\`, "b"},
		"a\x00b":                        {"a"},
		`"\a\b\t\r"`:                    {"\a\b\t\r"},
		`tls-key-file /a/"b`:            nil, // unbalanced
		`"a"b`:                          nil,
		`'a`:                            nil,
		`"a\`:                           nil,
	} {
		got, err := split(line)
		if !slices.Equal(got, want) || (err != nil) != (want == nil && line != "") {
			t.Errorf("%q: %q, %v, want %q", line, got, err, want)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`a "b\x41" 'c\'' d`)
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := split(quote(text)); err != nil || len(got) != 1 || got[0] != text {
			t.Errorf("%q: %q, %v", text, got, err)
		}
		_, _ = split(text)
	})
}

// files writes files below a new directory, which it returns; DIR in them is that.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadConf(t *testing.T) {
	dir := files(t, map[string]string{
		"redis.conf": "# comment\nPORT 0\ntls-port 7000\nbind -::* 10.0.0.5 127.0.0.1\n" +
			"dir DIR/data\ninclude more/*.conf\ntls-cert-file \"tls/re\\x64is.crt\"\ninclude DIR/no-such-*.conf\n" +
			"requirepass 'hunter2'\nreplicaof 10.0.0.9 6379\n",
		"data/more/a.conf": "tls-port 7001\r\ntls-key-file DIR/a.key\ntls-auth-clients no\n",
		"data/more/b.conf": "tls-port 7002\ntls-replication yes\n",
		"more/c.conf":      "tls-port 1\n", // not there: dir was changed before
	})
	c, err := ReadConf(filepath.Join(dir, "redis.conf"), "", []string{"--tls-port", "7003", "--tls-ca-cert-file", "ca.crt", "--replicaof", "no", "one"})
	if err != nil || len(c.Faults) > 0 {
		t.Fatal(err, c)
	}
	want := Settings{
		TLSPort: 7003, Bind: []string{"-::*", "10.0.0.5", "127.0.0.1"}, AuthClients: "no", TLSReplication: true, Password: true,
		Cert: dir + "/data/tls/redis.crt", Key: dir + "/a.key", CA: dir + "/data/ca.crt",
		Nodes: dir + "/data/nodes.conf",
	}
	if got := c.Settings; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if c.Address() != "127.0.0.1:7003" {
		t.Error(c.Address())
	}
	if len(c.Files) != 3 {
		t.Error(c.Files)
	}
	for _, args := range c.values {
		if slices.Contains(args, "hunter2") {
			t.Error("the password is kept")
		}
	}
}

func TestReach(t *testing.T) {
	for bind, want := range map[string]string{
		"": "127.0.0.1:1", "*": "127.0.0.1:1", "* -::*": "127.0.0.1:1", "10.0.0.5": "10.0.0.5:1", "10.0.0.5 127.0.0.1": "127.0.0.1:1",
		"-::1": "[::1]:1", "10.0.0.5 ::1": "[::1]:1", "127.0.0.2": "127.0.0.2:1", "fd00::5": "[fd00::5]:1", "::": "[::1]:1", "10.0.0.5 10.0.0.6": "10.0.0.5:1",
	} {
		s := Settings{TLSPort: 1, Bind: strings.Fields(bind)}
		if s.Address() != want {
			t.Errorf("bind %q: %s, want %s", bind, s.Address(), want)
		}
	}
}

// Whatever a file is, reading it ends, and what is wrong is said.
func TestBadFiles(t *testing.T) {
	dir := files(t, map[string]string{
		"loop.conf":      "tls-port 1\ninclude DIR/loop2.conf\ntls-port 2\n",
		"loop2.conf":     "include DIR/loop.conf\n",
		"pipe.conf":      "tls-port 1\ninclude DIR/fifo\n",
		"relative.conf":  "include other.conf\ntls-port 1\n",
		"missing.conf":   "include DIR/none.conf\ntls-port 1\n",
		"quotes.conf":    "tls-port 1\ntls-cert-file \"a\n",
		"large.conf":     "include DIR/huge\ntls-port 1\n",
		"self.conf":      "include DIR/sel[f].conf\ntls-port 1\n",
		"pattern.conf":   "include DIR/[\ntls-port 1\n",
		"many.conf":      "include DIR/many/*.conf\ntls-port 1\n",
		"directory.conf": "include DIR\ntls-port 1\n",
		"huge":           strings.Repeat("# nothing\n", 1<<20),
	})
	for i := range 70 {
		name := filepath.Join(dir, "many", string(rune('a'+i/10))+string(rune('0'+i%10))+".conf")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("port 0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"loop.conf": "includes itself", "self.conf": "includes itself", "pipe.conf": "not a regular file", "relative.conf": "which is not known",
		"missing.conf": "no such file", "quotes.conf": "quotes.conf:2: unbalanced quotes", "large.conf": "too large", "pattern.conf": "syntax error in pattern",
		"many.conf": "more than 64 files", "directory.conf": "not a regular file",
	} {
		c, err := ReadConf(filepath.Join(dir, name), "", nil)
		if err != nil || len(c.Faults) == 0 || !strings.Contains(c.Faults[0], want) {
			t.Errorf("%s: %v, %+v, want %q", name, err, c, want)
		}
		if c != nil && c.TLSPort == 0 {
			t.Errorf("%s: the lines beside the fault are lost", name)
		}
	}
	for _, path := range []string{"fifo", "huge", "none.conf"} {
		if _, err := ReadConf(filepath.Join(dir, path), "", nil); err == nil {
			t.Errorf("%s was read", path)
		}
	}
	if _, err := ReadConf("redis.conf", "", nil); err == nil {
		t.Error("a relative path was read, from the directory of this process")
	}
}
