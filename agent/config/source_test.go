package config

import (
	"strings"
	"testing"
)

func TestSources(t *testing.T) {
	for text, want := range map[string]string{
		with("servers: [auto, auto]"):                                       `servers[1].address: "auto" is already servers[0]`,
		with("servers: [{address: auto, control: 'unix:/run/redis.sock'}]"): `servers[0].control: it belongs to one server, and "auto" may lead to several`,
		with("servers: [{address: auto, user: 'a b'}]"):                     `servers[0].user: "a b" is not the name`,
		with("servers: [{address: /etc/redis/redis.conf, name: other}]"):    `servers[0].name: "other" is not among names`,
		with("servers: [/run/redis/redis.sock]"):                            `Redis speaks no TLS there`,
		with("servers: [Auto]"):                                             `servers[0].address: "Auto" has no port`,
		with("servers: [redis.conf]"):                                       `servers[0].address: "redis.conf" has no port`,
		with("servers: [{address: auto, timeout: 0s}]"):                     `servers[0].timeout: 0s is not a time to wait`,
	} {
		if got := faultsOf(text); !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s\ngot  %q\nwant %q", text, got, want)
		}
	}
	text := with("servers: [auto, 127.0.0.1:1, {address: /etc/redis/redis.conf, user: agent}]")
	c, err := LoadWithoutSecrets(put(t, t.TempDir(), "config.yaml", text, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Servers) != 1 || c.Servers[0].Address != "127.0.0.1:1" || len(c.Sources) != 2 || c.Sources[0].String() != "auto" || c.Sources[1].Conf != "/etc/redis/redis.conf" {
		t.Errorf("%+v, %+v", c.Servers, c.Sources)
	}
	if s := c.Sources[1].Server; s.User != "agent" || s.Name != "redis1.internal" || s.Address != "" {
		t.Errorf("%+v", s)
	}
}
