package reload_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// On a unix socket the password goes to a process of root, of the agent's own user, or
// of the user whose closed directory the socket is in.
func TestWhoseSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: cannot listen as another user")
	}
	for _, c := range []struct {
		name      string
		owner     int
		mode      os.FileMode
		asNobody  bool
		recognise bool
	}{
		{"root in a directory like /tmp", 0, 0o777 | os.ModeSticky, false, true},
		{"another user in a directory like /tmp", 0, 0o777 | os.ModeSticky, true, false},
		{"another user in a directory of its own", redistest.Nobody, 0o755, true, true},
		{"another user in an open directory of its own", redistest.Nobody, 0o777, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "socket") // t.TempDir is closed to others
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := errors.Join(os.Chown(dir, c.owner, c.owner), os.Chmod(dir, c.mode)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "redis.sock")
			var l net.Listener
			listen := func() error {
				l, err = net.Listen("unix", path)
				return err
			}
			if c.asNobody {
				redistest.AsNobody(t, listen)
			} else if err := listen(); err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			heard := make(chan string, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				said := make([]byte, 1000)
				n, _ := conn.Read(said) // nothing, when the client leaves
				heard <- string(said[:n])
			}()
			r := reload.New(reload.Server{Address: "127.0.0.1:1", Control: "unix:" + path, Password: says("secret"), Timeout: 5 * time.Second})
			err = reloaded(r, t.Context(), reload.Trust{})
			if got := strings.Contains(<-heard, "secret"); got != c.recognise {
				t.Errorf("the password was sent: %v; %v", got, err)
			}
			if !c.recognise {
				fails(t, err, reload.ErrUnrecognised, path, "a process of user 65534 listens there", "/run/redis")
			}
		})
	}
}
