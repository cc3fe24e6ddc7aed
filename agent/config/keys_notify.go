package config

import (
	"github.com/goccy/go-yaml/ast"

	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/option"
)

// An element of notify while it is decoded. A target has one kind.
type element struct {
	notify.Target
	webhook   notify.Webhook
	slack     notify.Slack
	pagerduty notify.PagerDuty
	command   notify.Command
	kinds     int // how many are given
}

func newElement() *element {
	return &element{Target: notify.DefaultTarget(), pagerduty: notify.DefaultPagerDuty()}
}

// targets decodes the list of who is told.
func (c *Config) targets(d *document, field string, n ast.Node) {
	d.sequence(field, n, "write a list, like [{slack: {url_file: credential:notify-slack}}]", func(d *document, field string, n ast.Node) {
		e := newElement()
		d.mapping(field, n, targetKeys(e))
		switch {
		case e.kinds == 0:
			d.Fault(field, "this tells nobody; write webhook:, slack:, pagerduty: or command: under it")
		case e.kinds > 1:
			d.Fault(field, "this has more than one kind; write each as an element of its own, like [{slack: {…}}, {command: […]}]")
		}
		c.Notify = append(c.Notify, e.Target)
	})
}

func targetKeys(e *element) []key {
	// of is a kind with the keys below, whose sender is read after these.
	of := func(name string, sender func() notify.Sender, below []key) key {
		return key{name: name, below: below, take: func(d *document, field string, n ast.Node) {
			d.mapping(field, n, below)
			e.kinds++
			e.Sender = sender()
		}}
	}
	return []key{
		of("webhook", func() notify.Sender { return e.webhook },
			hookKeys(&e.webhook.Service, "https://alerts.internal/redis", "credential:notify-webhook",
				"a URL that takes problems and their end as JSON by POST",
				"the same where the URL is a secret, as a file or credential:NAME")),
		of("slack", func() notify.Sender { return e.slack },
			hookKeys(&e.slack.Service, "https://chat.internal/hooks/x", "credential:notify-slack",
				"an incoming webhook of Slack or of what takes the same: Mattermost, Rocket.Chat, Zulip",
				"the same where the URL is a secret, which Slack's is")),
		of("pagerduty", func() notify.Sender { return e.pagerduty }, []key{
			{name: "key_file", example: "credential:notify-pagerduty", take: secretIn(&e.pagerduty.KeyFile),
				meaning: "the routing key of an integration with Events API v2, as a file or credential:NAME"},
			{name: "url", without: notify.PagerDutyURL, example: "https://events.eu.pagerduty.com/v2/enqueue", take: text(&e.pagerduty.URL),
				meaning: "where the events go"},
			rootsKey(&e.pagerduty.Service),
		}),
		{name: "command", without: "none", example: "[/usr/local/bin/tell, ops]",
			take: func(d *document, field string, n ast.Node) {
				command(&e.command.Args)(d, field, n)
				e.kinds++
				e.Sender = e.command
			},
			meaning: "a program, by its absolute path, and its arguments; run without a shell, with the JSON of webhook on its standard input"},
		{name: "after", without: "1m", example: "5m", take: into(&e.After, option.ParseDuration),
			meaning: "how long a problem must last before it is told, and be gone before that is told"},
		{name: "repeat", without: "24h", example: "0s", take: into(&e.Repeat, option.ParseDuration),
			meaning: "how often a problem that lasts is told again; 0s for once"},
	}
}

// hookKeys are those of a service that wants a URL and perhaps a token.
func hookKeys(s *notify.Service, url, urlFile, meaning, fileMeaning string) []key {
	return append(urlKeys(s, url, urlFile, meaning, fileMeaning),
		key{name: "token_file", without: "none", example: "credential:notify-token", take: secretIn(&s.TokenFile),
			meaning: "a token that is sent as Authorization: Bearer, as a file or credential:NAME"},
		rootsKey(s))
}

func urlKeys(s *notify.Service, url, urlFile, meaning, fileMeaning string) []key {
	return []key{
		{name: "url", without: "none; either this or url_file is needed", example: url, take: text(&s.URL), meaning: meaning},
		{name: "url_file", without: "none; either this or url is needed", example: urlFile, take: secretIn(&s.URLFile), meaning: fileMeaning},
	}
}

func rootsKey(s *notify.Service) key {
	return key{name: "roots_file", without: "the roots of the system", example: "/etc/redis-cert-agent/notify-roots.pem", take: text(&s.RootsFile),
		meaning: "the root certificates, in PEM, that the service is verified by"}
}

func (c *Config) heartbeat(d *document, field string, n ast.Node) {
	h := notify.DefaultHeartbeat()
	c.Heartbeat = &h
	d.mapping(field, n, heartbeatKeys(&h))
}

func heartbeatKeys(h *notify.Heartbeat) []key {
	keys := urlKeys(&h.Service, "https://hc.internal/ping/redis1", "credential:heartbeat-url",
		"a URL that is fetched after every healthy round, so that who waits for it notices a dead host",
		"the same where the URL is a secret")
	return append(keys, rootsKey(&h.Service),
		key{name: "every", without: "5m", example: "1m", take: into(&h.Every, option.ParseDuration),
			meaning: "how often the agent looks and, when all is well, fetches the URL"})
}
