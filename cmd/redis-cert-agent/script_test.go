package main

import (
	"flag"
	"net"
	"os"
	"path/filepath"
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
//	$NAME              the DNS name of this script's Redis
//	$CA_URL, $CA_PIN   the authority, behind a relay that the script may cut
//	$REDIS             where redis is to listen, TLS
//	$REDIS_PLAIN       the plaintext port, with redis start -plain
//	$METRICS           a TCP address that nobody has
//	$REDIS_SOCKET      the unix socket, with redis start -socket
//	$FRONT_URL, $FRONT_PIN  an HTTPS proxy before the authority, after front pass
//	$HOST              an address of the loopback network that is this script's alone
//	$CA_HTTP, $CA_TLS  where the authority looks for challenges of $NAME and $HOST
//	$PEBBLE...         another authority, after pebble start
//	$PROXY             a RESP proxy before the plaintext port, after proxy honest
//
// The commands are described where they stand.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"agent":     command((*stage).cmdAgent),
			"await":     command((*stage).cmdAwait),
			"ca":        command((*stage).cmdCA),
			"config":    command((*stage).cmdConfig),
			"edit":      command((*stage).cmdEdit),
			"fails":     command((*stage).cmdFails),
			"front":     command((*stage).cmdFront),
			"hand":      command((*stage).cmdHand),
			"hook":      command((*stage).cmdHook),
			"impostor":  command((*stage).cmdImpostor),
			"inodes":    command((*stage).cmdInodes),
			"issue":     command((*stage).cmdIssue),
			"issued":    command((*stage).cmdIssued),
			"monitor":   command((*stage).cmdMonitor),
			"mount":     command((*stage).cmdMount),
			"notify":    command((*stage).cmdNotify),
			"pebble":    command((*stage).cmdPebble),
			"powerless": command((*stage).cmdPowerless),
			"proxy":     command((*stage).cmdProxy),
			"redis":     command((*stage).cmdRedis),
			"scrape":    command((*stage).cmdScrape),
			"served":    command((*stage).cmdServed),
			"snapshot":  command((*stage).cmdSnapshot),
			"unchanged": command((*stage).cmdUnchanged),
			"verdict":   command((*stage).cmdVerdict),
		},
	})
}

type stageKey struct{}

func setUp(env *testscript.Env) error {
	ca, err := sharedCA()
	if err != nil {
		return err
	}
	t := env.T().(testing.TB)
	// The script's file name, in the form of a label.
	label := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
	s := newStage(t, env.WorkDir, strings.ReplaceAll(label, "_", "-")+".internal", ca)
	env.Values[stageKey{}] = s
	env.Setenv("NAME", s.name)
	env.Setenv("CA_URL", "https://"+s.road.Addr)
	env.Setenv("CA_PIN", ca.Fingerprint)
	s.host = acmetest.FreshHost(t)
	ca.names.Add(t, s.name+". 1 IN A "+s.host)
	env.Setenv("HOST", s.host)
	env.Setenv("CA_HTTP", net.JoinHostPort(s.host, strconv.Itoa(ca.httpPort)))
	env.Setenv("CA_TLS", net.JoinHostPort(s.host, strconv.Itoa(ca.tlsPort)))
	env.Setenv("REDIS", s.addr)
	// Where a script looks for the two, whether or not redis has them.
	env.Setenv("REDIS_SOCKET", filepath.Join(env.WorkDir, "redis.sock"))
	env.Setenv("REDIS_PLAIN", reserve(t))
	env.Setenv("METRICS", reserve(t))
	return s.writeSecrets()
}

// command makes a script's command of a method. Its error fails the script.
func command(do func(*stage, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command is never negated")
		}
		s := ts.Value(stageKey{}).(*stage)
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
