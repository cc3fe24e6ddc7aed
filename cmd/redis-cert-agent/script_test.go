package main

import (
	"flag"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/agent/ca/acme/acmetest"
)

// TestMain makes this test binary the program as well: the scripts, and the
// tests that kill it, run it as redis-cert-agent.
func TestMain(m *testing.M) {
	// The race detector lets every process linger for a second at its end.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	testscript.Main(suite{m}, map[string]func(){
		"redis-cert-agent": main,
		"dns-hook":         func() { os.Exit(acmetest.Hook(os.Args[1:])) },
	})
}

// A suite ends the authority that all tests share.
type suite struct{ *testing.M }

func (s suite) Run() int {
	defer closeSharedCA()
	return s.M.Run()
}

// TestScripts runs the program against a real step-ca and real redis-servers.
// Each script has names of its own, so that the authority can tell how many
// certificates it cost.
//
// testdata/README.md has a line for each command and variable.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUp,
		Cmds:                commands(),
	})
}

// commands returns what scripts have besides the commands of testscript.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"agent":        command((*host).cmdAgent),
		"await":        command((*host).cmdAwait),
		"ca":           command((*host).cmdCA),
		"certificate":  command((*host).cmdCertificate),
		"check":        command((*host).cmdCheck),
		"config":       command((*host).cmdConfig),
		"edit":         command((*host).cmdEdit),
		"fails":        command((*host).cmdFails),
		"master":       command((*host).cmdMaster),
		"mount":        command((*host).cmdMount),
		"pebble":       command((*host).cmdPebble),
		"redis":        command((*host).cmdRedis),
		"scrape":       command((*host).cmdScrape),
		"served":       command((*host).cmdServed),
		"snapshot":     command((*host).cmdSnapshot),
		"systemd":      command((*host).cmdSystemd),
		"unchanged":    command((*host).cmdUnchanged),
		"unprivileged": command((*host).cmdUnprivileged),
		"webhook":      command((*host).cmdWebhook),
	}
}

// TestReadmeListsCommands holds the page for those who write scripts.
func TestReadmeListsCommands(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range commands() {
		if !regexp.MustCompile("`" + name + "[ `]").Match(readme) {
			t.Errorf("testdata/README.md does not list %s", name)
		}
	}
}

type hostKey struct{}

func setUp(env *testscript.Env) error {
	ca, err := sharedCA()
	if err != nil {
		return err
	}
	t := env.T().(testing.TB)
	// The script's file name, in the form of a label.
	label := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
	s := newHost(t, env.WorkDir, strings.ReplaceAll(label, "_", "-")+".internal", ca)
	env.Values[hostKey{}] = s
	env.Setenv("NAME", s.name)
	env.Setenv("CA_URL", "https://"+s.caRelay.Addr)
	env.Setenv("CA_PIN", ca.Fingerprint)
	s.challenges = acmetest.FreshHost(t)
	ca.names.Add(t, s.name+". 1 IN A "+s.challenges)
	env.Setenv("HOST", s.challenges)
	env.Setenv("CA_HTTP", net.JoinHostPort(s.challenges, strconv.Itoa(ca.httpPort)))
	env.Setenv("CA_TLS", net.JoinHostPort(s.challenges, strconv.Itoa(ca.tlsPort)))
	env.Setenv("REDIS", s.addr)
	// Where a script looks for the two, whether or not redis has them.
	env.Setenv("REDIS_SOCKET", filepath.Join(env.WorkDir, "redis.sock"))
	env.Setenv("REDIS_PLAIN", reserve(t))
	env.Setenv("METRICS", reserve(t))
	return s.writeSecrets()
}

// command makes a script's command of a method. Its error fails the script.
func command(do func(*host, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command is never negated")
		}
		s := ts.Value(hostKey{}).(*host)
		if err := do(s, ts, args); err != nil {
			ts.Logf("%s", s.logs())
			ts.Fatalf("%v", err)
		}
	}
}

// flags parses the options of a script's command.
func flags(args []string, define func(*flag.FlagSet)) ([]string, error) {
	f := flag.NewFlagSet("command", flag.ContinueOnError)
	f.SetOutput(os.Stderr)
	define(f)
	err := f.Parse(args)
	return f.Args(), err
}
