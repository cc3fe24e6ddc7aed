package control

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
)

var notAfter = time.Date(2026, 11, 23, 3, 10, 34, 0, time.UTC)

// healthy is the status of an agent whose only server is proven.
func healthy() status.Status {
	return status.Status{
		Instance: "default", Version: "1.0.0", PID: 4242, Now: notAfter.Add(-16 * time.Hour),
		Pair:    &status.Leaf{Serial: "7e22b7814f5a9b0c1d2e3f4a5b6c7d8e", NotAfter: notAfter, Fingerprint: "0d7d3834"},
		CAs:     []status.CA{{Kind: "step", URL: "https://ca.internal:9000"}},
		Servers: []status.Server{{Address: "127.0.0.1:6379", State: status.Proven}, {Address: "[::1]:6380", State: status.Proven}},
	}
}

// serve starts a control socket and returns its path and what stops it.
func serve(t *testing.T, h Handlers) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, h) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return path, stop
}

func TestControlStatus(t *testing.T) {
	path, stop := serve(t, Handlers{Status: func(context.Context) status.Status { return healthy() }})
	got, err := Dial(path).Status(t.Context())
	if err != nil || !reflect.DeepEqual(got, healthy()) {
		t.Errorf("got %+v, %v", got, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestControlMetrics(t *testing.T) {
	path, _ := serve(t, Handlers{Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "redis_up 1\n") })})
	resp, err := Dial(path).http.Get("http://agent/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(text) != "redis_up 1\n" || !resp.Close {
		t.Errorf("%v %s, close %v, %q", err, resp.Status, resp.Close, text)
	}
}

func TestControlRenew(t *testing.T) {
	outcome := Outcome{Issued: true, Serial: "7e", NotAfter: notAfter, Text: "issued"}
	var forced []bool
	path, _ := serve(t, Handlers{Renew: func(_ context.Context, force bool) (Outcome, error) {
		forced = append(forced, force)
		if !force {
			return outcome, errors.New("reload: -NOAUTH")
		}
		return outcome, nil
	}})
	c := Dial(path)
	if got, err := c.Renew(t.Context(), true); err != nil || got != outcome {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := c.Renew(t.Context(), false); err == nil || err.Error() != "reload: -NOAUTH" || got != outcome {
		t.Errorf("got %+v, %v", got, err)
	}
	if !reflect.DeepEqual(forced, []bool{true, false}) {
		t.Errorf("forced %v", forced)
	}
}

func TestControlReload(t *testing.T) {
	fault := errors.New("config.yaml:1: a\nconfig.yaml:2: b")
	path, _ := serve(t, Handlers{Reload: func(context.Context) error { return fault }})
	if err := Dial(path).Reload(t.Context()); err == nil || err.Error() != fault.Error() {
		t.Errorf("got %v", err)
	}
	fault = nil
	if err := Dial(path).Reload(t.Context()); err != nil {
		t.Errorf("got %v", err)
	}
}

// A renewal ends when the client goes away, and when the agent stops.
func TestControlRenewIsCancelled(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	path, stop := serve(t, Handlers{Renew: func(ctx context.Context, _ bool) (Outcome, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return Outcome{}, ctx.Err()
	}})
	renew := func(ctx context.Context) chan error {
		answer := make(chan error, 1)
		go func() {
			_, err := Dial(path).Renew(ctx, false)
			answer <- err
		}()
		<-begun
		return answer
	}
	ctx, cancel := context.WithCancel(t.Context())
	answer := renew(ctx)
	cancel()
	<-ended
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	}
	answer = renew(t.Context())
	stop()
	<-ended
	if err := <-answer; err == nil || err.Error() != context.Canceled.Error() {
		t.Errorf("the agent that stops does not answer: %v", err)
	}
}

func TestControlNotRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	leaveStale(t, path+".stale")
	for _, p := range []string{path, path + ".stale"} {
		if _, err := Dial(p).Status(t.Context()); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: %v", p, err)
		}
		if _, err := Dial(p).Renew(t.Context(), true); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// leaveStale makes a socket that nobody listens on, as a killed agent does.
func leaveStale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestListenReplacesOnlyAStaleSocket(t *testing.T) {
	dir := t.TempDir()
	stale, live, file := filepath.Join(dir, "stale"), filepath.Join(dir, "live"), filepath.Join(dir, "file")
	leaveStale(t, stale)
	l, err := Listen(stale)
	if err != nil {
		t.Fatalf("stale: %v", err)
	}
	l.Close()

	l, err = Listen(live)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(live); err == nil || !strings.Contains(err.Error(), "another agent listens") {
		t.Errorf("live: %v", err)
	}
	if conn, err := net.Dial("unix", live); err != nil {
		t.Errorf("the live socket is gone: %v", err)
	} else {
		conn.Close()
	}

	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(file); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("file: %v", err)
	}
	if data, _ := os.ReadFile(file); string(data) != "x" {
		t.Error("the file is gone")
	}
	if _, err := Listen(filepath.Join(dir, "none", "control.sock")); err == nil || !strings.Contains(err.Error(), "RuntimeDirectory=") {
		t.Errorf("no directory: %v", err)
	}
}

// Only root and the agent's own user may change anything. The user is what the
// kernel says of the connection: here it is the one of this test.
func TestPeerUIDIsTheKernels(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if uid, err := peerUID(conn); err != nil || uid != uint32(os.Geteuid()) {
		t.Errorf("uid %d, %v", uid, err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := peerUID(a); err == nil {
		t.Error("a pipe has a user")
	}
}

func TestOthersMayOnlyGet(t *testing.T) {
	var called []string
	h := Handlers{
		Status:  func(context.Context) status.Status { return healthy() },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "redis_up 1\n") }),
		Renew: func(context.Context, bool) (Outcome, error) {
			called = append(called, "renew")
			return Outcome{}, nil
		},
		Reload: func(context.Context) error {
			called = append(called, "reload")
			return nil
		},
	}.mux()
	own := uint32(os.Geteuid())
	for _, c := range []struct {
		method, path string
		peer         any
		want         int
	}{
		{"GET", "/status", own + 1, 200},
		{"GET", "/status", nil, 200},
		{"GET", "/metrics", own + 1, 200},
		{"GET", "/metrics", nil, 200},
		{"POST", "/metrics", own, 405},
		{"POST", "/renew", own + 1, 403},
		{"POST", "/renew?force=1", uint32(65534), 403},
		{"POST", "/reload", own + 1, 403},
		{"POST", "/rotate?reason=1", own + 1, 403},
		{"POST", "/rotate?reason=1", nil, 403},
		{"GET", "/rotate?reason=1", own, 405},
		{"POST", "/renew", nil, 403},
		{"GET", "/renew", own, 405},
		{"POST", "/status", own, 405},
		{"GET", "/", own, 404},
		{"POST", "/renew", uint32(0), 200},
		{"POST", "/reload", own, 200},
	} {
		called = nil
		r := httptest.NewRequest(c.method, c.path, nil)
		r = r.WithContext(context.WithValue(r.Context(), peerKey{}, c.peer))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want || (c.method == "POST" && (len(called) > 0) != (c.want == 200)) {
			t.Errorf("%+v: %d, called %v", c, w.Code, called)
		}
	}
}

// A user of another uid is turned away by the kernel's word, over a real
// socket. It needs root, to become somebody else.
func TestForeignUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can connect as another user")
	}
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, path} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, l, Handlers{
			Status: func(context.Context) status.Status { return healthy() },
			Renew: func(context.Context, bool) (Outcome, error) {
				t.Error("a foreign user renewed")
				return Outcome{}, nil
			},
		})
	}()
	conn := dialAs(t, path, 65534)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /renew HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 403 ") || !strings.Contains(string(reply), "use sudo") {
		t.Errorf("got %q, %v", reply, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestClientUnderstandsForeignAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		code       int
		body, want string
	}{
		"another server": {404, "not found", "404 Not Found; is it of another version?"},
		"not JSON":       {200, "hello", "not that of an agent"},
		"too large":      {200, `{"instance":"` + strings.Repeat("x", maxReply) + `"}`, "not that of an agent"},
	} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.code)
			io.WriteString(w, c.body)
		})}
		go server.Serve(l)
		if _, err := Dial(path).Status(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

// An agent that hangs does not hang the client.
func TestClientDeadline(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if _, err := Dial(l.Addr().String()).Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestOutcomeOf(t *testing.T) {
	before, after := healthy(), healthy()
	if o := OutcomeOf(before, after); o.Issued || !strings.HasPrefix(o.Text, "serial 7e22b781") || !strings.Contains(o.Text, "--force") {
		t.Errorf("got %+v", o)
	}
	after.Pending = &status.Leaf{Serial: "aa", Fingerprint: "f", NotAfter: notAfter}
	if o := OutcomeOf(before, after); !o.Issued || o.Serial != "aa" || o.Text != "issued serial aa, valid until 2026-11-23T03:10:34Z, 2 of 2 servers proven" {
		t.Errorf("got %+v", o)
	}
	if o := OutcomeOf(status.Status{}, before); !o.Issued {
		t.Errorf("got %+v", o)
	}
	after = before
	after.Now = before.Newest().NotAfter.Add(time.Hour)
	if o := OutcomeOf(before, after); strings.Contains(o.Text, "good") || !strings.Contains(o.Text, "expired 1 h ago") {
		t.Errorf("an expired pair is called %q", o.Text)
	}
	after.MonitorOnly = true
	if o := OutcomeOf(before, after); strings.Contains(o.Text, "good") || !strings.Contains(o.Text, "expired 1 h ago") {
		t.Errorf("an expired pair of another program is called %q", o.Text)
	}
	if o := OutcomeOf(before, status.Status{}); o.Issued || o.Text == "" {
		t.Errorf("got %+v", o)
	}
}

// dialAs connects with the credentials of another user. The kernel takes them
// from the thread that connects; Setresuid as a raw call changes that one only.
// The thread is thrown away: it stays locked when its goroutine ends.
func dialAs(t *testing.T, path string, uid int) net.Conn {
	t.Helper()
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			done <- result{nil, errno}
			return
		}
		conn, err := net.Dial("unix", path)
		done <- result{conn, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.conn
}

func TestControlHistory(t *testing.T) {
	records := []journal.Record{{Time: notAfter, Event: "issued", Level: "notice", Text: "issued 7e22"}}
	path, _ := serve(t, Handlers{History: func() []journal.Record { return records }})
	if got, err := Dial(path).History(context.Background()); err != nil || !reflect.DeepEqual(got, records) {
		t.Errorf("got %+v, %v", got, err)
	}
}
