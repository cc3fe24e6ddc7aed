package reload_test

import (
	"strings"
	"testing"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// A rehearsal needs what a reload needs, says what is missing, and changes nothing.
func TestRehearse(t *testing.T) {
	h := start(t, redistest.Options{Socket: true}, nil, nil)
	admin := h.admin(t)
	acl := func(rule ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), append([]any{"ACL", "SETUSER", "agent"}, rule...)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	acl("reset", "on", ">pass-of-agent", "+config|get", "+config|set", "+info", "+ping")
	proxy := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Upstream: "unix:" + h.redis.Socket})
	h.server.Control, h.server.User, h.server.Password = "unix:"+proxy.Socket, "agent", says("pass-of-agent")
	before, err := admin.ConfigGet(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	found, err := reload.New(h.server).Rehearse(t.Context(), h.trust)
	if err != nil || !strings.Contains(found, "user agent may read and set its configuration, tls-cert-file is "+h.redis.Files.Cert) {
		t.Errorf("%q, %v", found, err)
	}
	for _, c := range proxy.Commands() {
		if line := strings.ToLower(strings.Join(c, " ")); strings.Contains(line, "config set") && line != "config set redis-cert-agent-rehearsal 0" {
			t.Errorf("it sets %q", line)
		}
	}
	after, err := admin.ConfigGet(t.Context(), "*").Result()
	if err != nil || len(after) != len(before) {
		t.Fatal(len(after), err)
	}
	for name, value := range before {
		if after[name] != value {
			t.Errorf("%s was %q and is %q", name, value, after[name])
		}
	}
	rights := func() reload.Rights {
		t.Helper()
		r, err := reload.New(h.server).Rights(t.Context(), h.trust)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := rights(); r.TooMuch() != "" {
		t.Errorf("the least rights are too much: %+v", r)
	}

	acl("-config|set")
	_, err = reload.New(h.server).Rehearse(t.Context(), h.trust)
	fails(t, err, reload.ErrDenied, "NOPERM", "+config|set")
	acl("+config|set", "-config|get")
	_, err = reload.New(h.server).Rehearse(t.Context(), h.trust)
	fails(t, err, reload.ErrDenied, "NOPERM")
	acl("+@all", "~*")
	if r := rights(); r.TooMuch() != "every key, every command" || r.User != "agent" || strings.Contains(r.Rule, "#") {
		t.Errorf("%+v: %q", r, r.TooMuch())
	}
	h.server.Password = says("another")
	_, err = reload.New(h.server).Rehearse(t.Context(), h.trust)
	fails(t, err, reload.ErrDenied, "WRONGPASS")
}

// What says OK to a parameter that no server has is no Redis that can be told to reload.
func TestRehearseOfWhatLies(t *testing.T) {
	h := start(t, redistest.Options{Socket: true}, nil, nil)
	proxy := redistest.StartProxy(t, redistest.ProxyOptions{Unix: true, Upstream: "unix:" + h.redis.Socket, Handle: redistest.LyingOK})
	h.server.Control = "unix:" + proxy.Socket
	_, err := reload.New(h.server).Rehearse(t.Context(), h.trust)
	fails(t, err, reload.ErrRefused, "says OK to a parameter that no server has")
}
