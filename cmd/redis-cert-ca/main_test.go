package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"redis-cert-agent/cmd/redis-cert-ca/authority"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/smallstep/certificates/ca"
	"go.step.sm/crypto/pemutil"
	"go.step.sm/crypto/x509util"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"redis-cert-ca": main})
}

type notifyKey struct{}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// In place of systemd: sd_notify(3).
			socket := filepath.Join(env.WorkDir, ".notify")
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
			if err != nil {
				return err
			}
			env.Defer(func() { conn.Close() })
			env.Setenv("NOTIFY_SOCKET", socket)
			env.Values[notifyKey{}] = conn
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"notified":    cmdNotified,
			"sign":        cmdSign,
			"signal":      cmdSignal,
			"fingerprint": cmdFingerprint,
			"nosecrets":   cmdNoSecrets,
			"added":       cmdAdded,
			"yesterday":   cmdYesterday,
			"give":        cmdGive,
			"owned":       cmdOwned,
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return os.Geteuid() == 0, nil
		},
	})
}

// notified STATE waits for the program to send STATE to systemd, and sets URL
// and ADDRESS when it tells what it serves.
func cmdNotified(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: notified STATE")
	}
	conn := ts.Value(notifyKey{}).(*net.UnixConn)
	ts.Check(conn.SetReadDeadline(time.Now().Add(30 * time.Second)))
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	ts.Check(err)
	lines := strings.Split(string(buf[:n]), "\n")
	if lines[0] != args[0] {
		ts.Fatalf("notified %q", lines)
	}
	for _, line := range lines {
		if url, ok := strings.CutPrefix(line, "STATUS=serving "); ok {
			ts.Setenv("URL", url)
			ts.Setenv("ADDRESS", strings.TrimPrefix(url, "https://"))
		}
	}
}

// sign DIR NAME... gets a certificate with step-ca's own client, from $URL,
// knowing only what init printed and the password file; where ROOT names another
// file in certs, its fingerprint. It prints the lifetime, the number of roots
// that the authority names, and whether it signed below that one.
func cmdSign(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: sign DIR NAME...")
	}
	dir, names := ts.MkAbs(args[0]), args[1:]
	root, err := pemutil.ReadCertificate(filepath.Join(dir, "certs", cmp.Or(ts.Getenv("ROOT"), "root_ca.crt")))
	ts.Check(err)
	password, err := os.ReadFile(filepath.Join(dir, "secrets", "provisioner-password"))
	ts.Check(err)
	pin := ca.WithRootSHA256(x509util.Fingerprint(root))
	p, err := ca.NewProvisioner("redis", "", ts.Getenv("URL"), password, pin)
	ts.Check(err)
	defer p.CloseIdleConnections()
	token, err := p.Token(names[0], names...)
	ts.Check(err)
	req, _, err := ca.CreateSignRequest(token)
	ts.Check(err)
	resp, err := p.Sign(req)
	ts.Check(err)
	for _, name := range names {
		ts.Check(resp.ServerPEM.VerifyHostname(name))
	}
	roots, err := p.Roots()
	ts.Check(err)
	below := resp.CaPEM.CheckSignatureFrom(root) == nil
	fmt.Fprintf(ts.Stdout(), "lifetime %s, %d roots, below this one: %t\n", resp.ServerPEM.NotAfter.Sub(resp.ServerPEM.NotBefore), len(roots.Certificates), below)
}

// signal NAME sends a signal to the program that was started last.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}
	cmds := ts.BackgroundCmds()
	if neg || len(args) != 1 || signals[args[0]] == nil || len(cmds) == 0 {
		ts.Fatalf("usage: signal TERM|HUP, with a program in the background")
	}
	ts.Check(cmds[len(cmds)-1].Process.Signal(signals[args[0]]))
}

// fingerprint FILE sets FINGERPRINT to that of a certificate.
func cmdFingerprint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fingerprint FILE")
	}
	cert, err := pemutil.ReadCertificate(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Setenv("FINGERPRINT", x509util.Fingerprint(cert))
}

// nosecrets DIR looks for the secrets of an authority in what the last command
// printed.
func cmdNoSecrets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nosecrets DIR")
	}
	printed := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	if strings.TrimSpace(printed) == "" {
		ts.Fatalf("nothing was printed")
	}
	for _, name := range []string{"password", "provisioner-password"} {
		if strings.Contains(printed, ts.ReadFile(filepath.Join(args[0], "secrets", name))) {
			ts.Fatalf("%s was printed", name)
		}
	}
	if strings.Contains(printed, "eyJ") {
		ts.Fatalf("a token was printed: %s", printed)
	}
}

// added DIR sets ROOT to the file of the root that a rotation added.
func cmdAdded(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: added DIR")
	}
	files, err := filepath.Glob(ts.MkAbs(filepath.Join(args[0], "certs", "root_ca_*.crt")))
	ts.Check(err)
	if len(files) != 1 {
		ts.Fatalf("added roots: %q", files)
	}
	ts.Setenv("ROOT", filepath.Base(files[0]))
}

// yesterday FILE makes a file a day older.
func cmdYesterday(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: yesterday FILE")
	}
	day := time.Now().Add(-24 * time.Hour)
	ts.Check(os.Chtimes(ts.MkAbs(args[0]), day, day))
}

// serviceUser stands for the user of the packaged service.
const serviceUser = 12345

// give DIR gives a directory to the user of the service.
func cmdGive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: give DIR")
	}
	ts.Check(os.Chown(ts.MkAbs(args[0]), serviceUser, serviceUser))
}

// owned DIR fails unless everything below a directory belongs to the user of the
// service.
func cmdOwned(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: owned DIR")
	}
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != serviceUser || owner.Gid != serviceUser {
			return fmt.Errorf("%s belongs to %d:%d", path, owner.Uid, owner.Gid)
		}
		return nil
	}))
}

// TestSummaryOfTheService names the unit where the package has one.
func TestSummaryOfTheService(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{
		defaultDir: "\n  systemctl enable --now redis-cert-ca   #",
		"/srv/ca":  "\n  redis-cert-ca run --dir /srv/ca\n",
	} {
		var b bytes.Buffer
		if err := writeSummary(&b, &authority.Info{Dir: dir}); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%s: %v; want %q in:\n%s", dir, err, want, &b)
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct {
		args   []string
		code   int
		stderr string // all of it
	}{
		{[]string{"version"}, 0, ""},
		{[]string{}, 2, "redis-cert-ca: no command given: see redis-cert-ca --help\n"},
		{[]string{"serve"}, 2, "redis-cert-ca: unknown command \"serve\": see redis-cert-ca --help\n"},
		{[]string{"run", "now"}, 2, "redis-cert-ca: unexpected argument \"now\": see redis-cert-ca run --help\n"},
		{[]string{"run", "--port", "1"}, 2, "redis-cert-ca: unknown flag: --port: see redis-cert-ca run --help\n"},
		{[]string{"init", "--dir", missing, "--dns", "a b", "--address", "9000"}, 2,
			"redis-cert-ca: dns: \"a b\" is neither a DNS name nor an IP address: leave out scheme and port\n" +
				"redis-cert-ca: address: \"9000\": want host:port, or :port for every interface\n"},
		{[]string{"rotate", "next"}, 2, "redis-cert-ca: unknown step \"next\": one of add, use and retire\n"},
		{[]string{"rotate", "add", "use"}, 2, "redis-cert-ca: unexpected argument \"use\": see redis-cert-ca rotate --help\n"},
		{[]string{"rotate", "--dir", missing}, 1, "redis-cert-ca: no certificate authority here: make one with `redis-cert-ca init`\n"},
		{[]string{"run", "--dir", missing}, 1,
			"redis-cert-ca: start " + missing + ": no certificate authority here: make one with `redis-cert-ca init`\n"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), tt.args, &stdout, &stderr); code != tt.code || stderr.String() != tt.stderr {
			t.Errorf("%q: exit %d, want %d; stderr:\n%swant:\n%s", tt.args, code, tt.code, &stderr, tt.stderr)
		}
		if _, err := os.Stat(missing); err == nil {
			t.Errorf("%q made %s", tt.args, missing)
		}
	}
}

func TestVersionLine(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{GoVersion: "go1.26.0", Deps: []*debug.Module{{Path: "github.com/smallstep/certificates", Version: "v0.30.2"}}}
	if got, want := versionLine("1.2.3", info), "redis-cert-ca 1.2.3 (step-ca v0.30.2, go1.26.0)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := versionLine("", nil), "redis-cert-ca (devel) (step-ca unknown, unknown)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLogHandlerLeavesTheTimeToTheJournal(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"", "8:12345"} {
		var b bytes.Buffer
		log := newLogger(&b, func(string) string { return stream })
		log.Info("certificate issued")
		if got, want := strings.Contains(b.String(), "time="), stream == ""; got != want {
			t.Errorf("JOURNAL_STREAM=%q: %s", stream, &b)
		}
	}
}

func TestYAMLAndShellWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, yaml, shell string }{
		{"redis", "redis", "redis"},
		{"yes", "'yes'", "yes"},
		{"0x1f", "'0x1f'", "0x1f"},
		{"a: b", "'a: b'", "'a: b'"},
		{"it's", "'it''s'", `'it'\''s'`},
		{"", "''", "''"},
	} {
		if got := yamlString(tt.in); got != tt.yaml {
			t.Errorf("yamlString(%q) = %s, want %s", tt.in, got, tt.yaml)
		}
		if got := shellQuote(tt.in); got != tt.shell {
			t.Errorf("shellQuote(%q) = %s, want %s", tt.in, got, tt.shell)
		}
	}
}
