package cert

import (
	"bufio"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/reload/redistest"
)

// TestVerdictAgainstRedis has a replica link to its master with the same pair on both: it
// is a server's certificate at the one and a client's at the other, and each verifies with
// what redis has of OpenSSL. Nobody looks at names there.
func TestVerdictAgainstRedis(t *testing.T) {
	conf := []string{"tls-replication yes", "repl-diskless-sync-delay 0", "repl-timeout 10"}
	master := redistest.Start(t, redistest.Options{Plain: true, AuthClients: "yes", Conf: conf})
	replica := redistest.Start(t, redistest.Options{Plain: true, Conf: conf})
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	up := 0
	for i := range faults {
		for _, j := range []int{i, (i*7 + 5) % len(faults)} {
			s, names := faulty(time.Now(), min(i, j), max(i, j))
			if j != i && (i%6 != 0 || explained[names] != "") || strings.Contains(names, "large") && i != j {
				continue
			}
			c := s.build(t)
			ours := Judge(Question{Leaf: c.leaf, Sent: c.sent, Uses: []Use{AsServer, AsClient}, Time: s.at, Roots: c.roots}).Refusal(OpenSSL)
			dir := t.TempDir()
			writeChain(t, dir, s, c)
			files := fmt.Sprintf("CONFIG SET tls-cert-file %s/chain.pem tls-key-file %[1]s/key.pem tls-ca-cert-file %[1]s/ca.pem", dir)
			ask(t, replica, "REPLICAOF NO ONE")
			said := ask(t, master, files)
			if said == "+OK" {
				said = ask(t, replica, files)
			}
			if said == "+OK" {
				before := len(replica.Log())
				ask(t, replica, "REPLICAOF "+host+" "+port)
				said = outcome(t, replica, before)
			}
			if said == "up" {
				up++
			}
			if (said == "up") != (ours == nil) {
				t.Errorf("%s: redis: %s; here %v", names, said, ours)
			}
		}
	}
	if up < 10 {
		t.Errorf("only %d links were made", up)
	}
}

var (
	linked = regexp.MustCompile(`Finished with success|accepted a Partial Resynchronization`)
	failed = regexp.MustCompile(`.*(Error condition|Error reply|Failed|Unable|I/O error|aborting|lost).*`)
)

// outcome waits until the replica has linked, or failed to, after the first bytes of its
// log.
func outcome(t *testing.T, replica *redistest.Server, before int) string {
	t.Helper()
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		_, text, _ := strings.Cut(replica.Log()[before:], "Connecting to MASTER")
		if line := failed.FindString(text); line != "" {
			return line
		}
		if linked.MatchString(text) {
			return "up"
		}
	}
	t.Fatalf("the replica has not tried: %s", replica.Log()[before:])
	return ""
}

// ask sends a command and returns the first line of the answer.
func ask(t *testing.T, s *redistest.Server, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.PlainAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer)
}
