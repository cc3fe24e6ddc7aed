package redistest_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"redis-cert-agent/reload/redistest"
)

// shown is the serial of the leaf that a fresh handshake shows.
func shown(t *testing.T, s *redistest.Server, addr string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: s.CA.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestServerComesBackWithWhatIsOnDisk(t *testing.T) {
	s := redistest.Start(t, redistest.Options{Plain: true, Socket: true, Password: "x y"})
	first, pid := shown(t, s, s.Addr), s.PID()
	s.CA.Intermediate(t, s.CA.Cert.NotBefore, s.CA.Cert.NotAfter).Issue(t, redistest.Leaf{Key: "rsa"}).Overwrite(t, s.Files)
	s.Restart()
	if again := shown(t, s, s.Addr); again == first {
		t.Error("the restarted server shows the old leaf")
	}
	if s.PID() == pid {
		t.Error("the restarted server has the same process id")
	}
	redistest.NewRoot(t).Issue(t, redistest.Leaf{Key: "rsa"}).Overwrite(t, redistest.Files{Key: s.Files.Key})
	if err := s.TryRestart(); err == nil || !strings.Contains(err.Error(), "Failed to configure TLS") {
		t.Errorf("start on a mismatched pair: %v, want the server's own words", err)
	}
}

func TestProxyLies(t *testing.T) {
	s := redistest.Start(t, redistest.Options{Socket: true})
	p := redistest.StartProxy(t, redistest.ProxyOptions{Upstream: "unix:" + s.Socket, Handle: redistest.LyingOK})
	conn, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for _, step := range []struct{ send, want string }{
		{"*3\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$4\r\nnope\r\n", "+OK\r\n"},
		{"*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n", "$4\r\n"},
	} {
		fmt.Fprint(conn, step.send)
		if got, err := answers.ReadString('\n'); err != nil || got != step.want {
			t.Fatalf("answer to %q: %q, %v; want %q", step.send, got, err, step.want)
		}
	}
	if got := fmt.Sprint(p.Commands()); got != "[[CONFIG SET nope] [ECHO a\r\nb]]" {
		t.Errorf("commands heard: %q", got)
	}
}
