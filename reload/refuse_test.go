package reload_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/secret"
	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

func TestPasswords(t *testing.T) {
	h := start(t, redistest.Options{Socket: true, Password: "right", ACL: []string{
		"reader on >pw +get +info +ping", "off off >pw +@all",
	}}, nil, nil)
	open := start(t, redistest.Options{}, nil, nil)
	for _, c := range []struct {
		at             *host
		user, password string
		want           []string
	}{
		{h, "", "", []string{"NOAUTH", "password_file"}},
		{h, "", "wrong-secret", []string{"WRONGPASS", "password_file"}},
		{h, "nobody", "right", []string{"WRONGPASS", "user nobody"}},
		{h, "off", "pw", []string{"WRONGPASS", "user off"}},
		{h, "reader", "pw", []string{"NOPERM", "ACL SETUSER reader +config|get +config|set +info +ping"}},
		{open, "", "needless-secret", []string{"without any password", "remove password_file"}},
	} {
		c.at.server.User, c.at.server.Password = c.user, says(c.password)
		err := reloaded(reload.New(c.at.server), t.Context(), c.at.trust)
		fails(t, err, reload.ErrDenied, append(c.want, "redis says", c.at.redis.Addr)...)
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error holds the password: %v", err)
		}
	}
	unreadable := errors.New("the file is gone")
	h.server.Password = secret.Func(func() ([]byte, error) { return nil, unreadable })
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), unreadable, "redis password")
}

// Redis quotes the arguments of a command that it does not know.
func TestRenamedAuthDoesNotLeakThePassword(t *testing.T) {
	h := start(t, redistest.Options{Conf: []string{"rename-command AUTH login"}}, nil, nil)
	h.server.Password = says("secret")
	err := reloaded(reload.New(h.server), t.Context(), h.trust)
	fails(t, err, reload.ErrDenied, "unknown command 'AUTH'")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error holds the password: %v", err)
	}
}

func TestPortsMixedUp(t *testing.T) {
	h := start(t, redistest.Options{Plain: true}, nil, nil)
	h.server.Timeout = time.Second
	mixed := h.server
	mixed.Address = h.redis.PlainAddr
	fails(t, reloaded(reload.New(mixed), t.Context(), h.trust), reload.ErrUnreachable, h.redis.PlainAddr+" is a plaintext port")
	_, err := reload.New(mixed).Served(t.Context(), h.trust)
	fails(t, err, reload.ErrUnreachable, h.redis.PlainAddr+" is a plaintext port")

	reverse := h.server
	reverse.Control = "plain:" + h.redis.Addr
	fails(t, reloaded(reload.New(reverse), t.Context(), h.trust), reload.ErrUnreachable, h.redis.Addr, "a tls-port?")
	reverse.Password = says("secret")
	fails(t, reloaded(reload.New(reverse), t.Context(), h.trust), reload.ErrUnreachable, h.redis.Addr, "a tls-port?")
}

func TestNobodyAnswers(t *testing.T) {
	gone := reload.Server{Address: redistest.FreeAddr(t), Name: "localhost"}
	fails(t, reloaded(reload.New(gone), t.Context(), reload.Trust{}), reload.ErrUnreachable, "connection refused", "tls-port")

	// It takes the connection and says nothing, also not to a PING.
	mute := reload.Server{Address: listen(t, nil).addr, Name: "localhost", Timeout: 100 * time.Millisecond}
	fails(t, reload.New(mute).Prove(t.Context(), reload.Trust{}, redistest.NewRoot(t).Cert), reload.ErrUnreachable, "does not answer the TLS handshake within 100ms")

	slow := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Handle: func([]string) (string, bool) {
		<-t.Context().Done()
		return "", true
	}})
	stuck := reload.Server{Control: "unix:" + slow.Socket, Timeout: 100 * time.Millisecond}
	fails(t, reloaded(reload.New(stuck), t.Context(), reload.Trust{}), reload.ErrUnreachable, "no answer within 100ms")
}

// What these servers say is written down from real ones.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		reply string
		kind  error
		want  string
	}{
		{"-LOADING Redis is loading the dataset in memory", reload.ErrBusy, "wait"},
		{"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", reload.ErrBusy, "SCRIPT KILL"},
		{"-ERR max number of clients reached", reload.ErrBusy, "maxclients"},
		{"-DENIED Redis is running in protected mode because protected mode is enabled", reload.ErrDenied, "loopback"},
		{"-DENIED Running in protected mode because protected mode is enabled", reload.ErrDenied, "loopback"},
		{"-NOPERM this user has no permissions to run the 'config' command or its subcommand", reload.ErrDenied, "ACL SETUSER default"},
		{"-ERR unknown command `CONFIG`, with args beginning with: `get`, `tls-cert-file`, ", reload.ErrDenied, "config_command"},
		{"-ERR Invalid argument '/x' for CONFIG SET 'tls-cert-file' - Unable to update TLS configuration. Check server logs.", reload.ErrRefused, "redis log"},
		{"-EPERM never heard of", reload.ErrRefused, "never heard of"},
		{"*0", reload.ErrRefused, "serves no TLS"}, // built without it
		{"*2\r\n$13\r\ntls-cert-file\r\n$0\r\n", reload.ErrRefused, "serves no TLS"},
		{"+PONG", reload.ErrRefused, "config_command"},
	} {
		proxy := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Handle: func([]string) (string, bool) { return c.reply + "\r\n", true }})
		r := reload.New(reload.Server{Control: "unix:" + proxy.Socket})
		fails(t, reloaded(r, t.Context(), reload.Trust{}), c.kind, c.want)
	}
}

func TestServerWithoutTLS(t *testing.T) {
	s := redistest.Start(t, redistest.Options{NoTLS: true, Socket: true})
	r := reload.New(reload.Server{Control: "unix:" + s.Socket})
	fails(t, reloaded(r, t.Context(), reload.Trust{}), reload.ErrRefused, "serves no TLS", "tls-port")
}

func TestMaxClients(t *testing.T) {
	h := start(t, redistest.Options{Socket: true}, nil, nil)
	if err := h.admin(t).ConfigSet(t.Context(), "maxclients", "1").Err(); err != nil {
		t.Fatal(err)
	}
	fails(t, reloaded(reload.New(h.server), t.Context(), h.trust), reload.ErrUnreachable, "maxclients")
	h.server.Control = "unix:" + h.redis.Socket
	err := reloaded(reload.New(h.server), t.Context(), h.trust)
	if !errors.Is(err, reload.ErrBusy) && !errors.Is(err, reload.ErrUnreachable) { // the reply can be lost to EPIPE
		t.Errorf("error %v", err)
	}
	if !strings.Contains(fmt.Sprint(err), "maxclients") {
		t.Errorf("error does not name maxclients: %v", err)
	}
}

func TestBusyScript(t *testing.T) {
	h := start(t, redistest.Options{Socket: true, Conf: []string{"lua-time-limit 10"}}, nil, nil)
	h.server.Control = "unix:" + h.redis.Socket
	admin, ctx := h.admin(t), t.Context()
	ended := make(chan error, 1)
	go func() { ended <- admin.Eval(ctx, "while true do end", nil).Err() }()
	err := waitFor(t, func(r *reload.Redis) error { return reloaded(r, ctx, h.trust) }, reload.New(h.server), reload.ErrBusy)
	fails(t, err, reload.ErrBusy, "SCRIPT KILL")
	if err := admin.Do(ctx, "SCRIPT", "KILL").Err(); err != nil {
		t.Fatal(err)
	}
	<-ended // an error: the script was killed
	h.works(t, h.renew(t, redistest.Leaf{}))
}

// waitFor asks until the answer is of the kind. Each try takes a round trip.
func waitFor(t *testing.T, ask func(*reload.Redis) error, r *reload.Redis, kind error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for {
		err := ask(r)
		if errors.Is(err, kind) || ctx.Err() != nil {
			return err
		}
	}
}

// While Redis loads its data, CONFIG works and PING does not.
func TestReloadWhileLoading(t *testing.T) {
	h := start(t, redistest.Options{Socket: true, Conf: []string{
		"key-load-delay 10000", "loading-process-events-interval-bytes 1024", "rdbcompression no",
	}}, nil, nil)
	ctx := t.Context()
	for i := range 500 {
		if err := h.admin(t).Set(ctx, fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), 300), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.admin(t).Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	h.redis.Restart()
	h.works(t, h.renew(t, redistest.Leaf{}))
	if info := h.admin(t).Info(ctx, "persistence").Val(); !strings.Contains(info, "loading:1") {
		t.Errorf("it was not loading:\n%s", info)
	}
}
