package discover

import (
	"os/exec"
	"strings"
	"testing"

	"redis-cert-agent/reload/redistest"
)

// Redis itself is the judge of how its file is read.
func TestSplitLikeRedis(t *testing.T) {
	lines := []string{
		`tls-cert-file "/a b/\x63\"\\ \q"`, `TLS-KEY-FILE '/a \n b\'c'`, "tls-ca-cert-file\t/a\"b c\" ", `tls-client-cert-file "\a\b\t|\xZZ|"`,
		`  tls-client-key-file /ä#b`, `tls-dh-params-file ''`, `tls-ca-cert-dir /x\y`, `tls-ciphers "it's"`,
	}
	s := redistest.Start(t, redistest.Options{NoTLS: true, Socket: true, Conf: lines})
	for _, line := range lines {
		args, err := split(line)
		if err != nil || len(args) != 2 {
			t.Errorf("%s: %q, %v", line, args, err)
			continue
		}
		out, err := exec.Command("redis-cli", "-s", s.Socket, "--raw", "CONFIG", "GET", args[0]).Output()
		name, value, _ := strings.Cut(string(out), "\n")
		if err != nil || strings.TrimSuffix(value, "\n") != args[1] || !strings.EqualFold(name, args[0]) {
			t.Errorf("%s: redis reads %q, %v; this reads %q", line, value, err, args[1])
		}
	}
}
