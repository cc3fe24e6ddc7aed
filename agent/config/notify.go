package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Notify is one place that is told of troubles and of their end. Exactly one
// kind is set.
type Notify struct {
	Webhook   *Webhook // any service that takes JSON
	Slack     *Webhook // and what takes Slack's incoming webhooks: Mattermost, Rocket.Chat, Zulip
	PagerDuty *PagerDuty
	Command   []string      // a program by its absolute path, and its arguments
	After     time.Duration // how long a trouble must last before it is told
	Repeat    time.Duration // how often one that lasts is told again; 0: once
}

// Webhook is a URL that a message is posted to. Exactly one of URL and URLFile
// is set.
type Webhook struct {
	URL       string // https, or http on loopback
	URLFile   Secret // of services whose URL is the secret
	TokenFile Secret // sent as Authorization: Bearer; may be none
	RootsFile string // PEM, or empty: the roots of the system
}

// PagerDuty is an integration for Events API v2.
type PagerDuty struct {
	KeyFile   Secret // the integration's routing key
	URL       string
	RootsFile string // PEM, or empty: the roots of the system
}

// Heartbeat is a URL that is fetched after every healthy round. Exactly one of
// URL and URLFile is set.
type Heartbeat struct {
	URL       string
	URLFile   Secret
	RootsFile string // PEM, or empty: the roots of the system
	Every     time.Duration
}

const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// notify decodes the list of who is told.
func (d *document) notify(dst *[]Notify) decoder {
	return func(field string, n ast.Node) {
		d.sequence(field, n, "write a list, like [{slack: {url_file: credential:notify-slack}}]", func(field string, n ast.Node) {
			t := Notify{After: time.Minute, Repeat: 24 * time.Hour}
			d.mapping(field, n, keys{
				"webhook":   d.webhook(&t.Webhook),
				"slack":     d.webhook(&t.Slack),
				"pagerduty": d.pagerDuty(&t.PagerDuty),
				"command":   d.list(&t.Command, func(s string) (string, error) { return s, nil }),
				"after":     into(d, &t.After, parseDuration),
				"repeat":    into(d, &t.Repeat, parseDuration),
			})
			*dst = append(*dst, t)
		})
	}
}

func (d *document) webhook(dst **Webhook) decoder {
	return func(field string, n ast.Node) {
		w := &Webhook{}
		*dst = w
		d.mapping(field, n, keys{
			"url": d.text(&w.URL), "url_file": d.secret(&w.URLFile),
			"token_file": d.secret(&w.TokenFile), "roots_file": d.text(&w.RootsFile),
		})
	}
}

func (d *document) pagerDuty(dst **PagerDuty) decoder {
	return func(field string, n ast.Node) {
		p := &PagerDuty{URL: pagerDutyURL}
		*dst = p
		d.mapping(field, n, keys{"key_file": d.secret(&p.KeyFile), "url": d.text(&p.URL), "roots_file": d.text(&p.RootsFile)})
	}
}

func (d *document) heartbeat(dst **Heartbeat) decoder {
	return func(field string, n ast.Node) {
		h := &Heartbeat{Every: 5 * time.Minute}
		*dst = h
		d.mapping(field, n, keys{
			"url": d.text(&h.URL), "url_file": d.secret(&h.URLFile), "roots_file": d.text(&h.RootsFile),
			"every": into(d, &h.Every, parseDuration),
		})
	}
}

func validateNotify(c *Config, d *document) {
	for i, n := range c.Notify {
		field := fmt.Sprintf("notify[%d]", i)
		kinds := 0
		if n.Webhook != nil {
			kinds++
			validateWebhook(*n.Webhook, field+".webhook", d)
		}
		if n.Slack != nil {
			kinds++
			validateWebhook(*n.Slack, field+".slack", d)
		}
		if n.PagerDuty != nil {
			kinds++
			validateWebURL(n.PagerDuty.URL, field+".pagerduty.url", pagerDutyURL, d)
			validateRoots(n.PagerDuty.RootsFile, field+".pagerduty", d)
			if !n.PagerDuty.KeyFile.Set() {
				d.fault(field+".pagerduty.key_file", "missing; write the path of the file that holds the routing key of the integration (Events API v2), or credential:NAME")
			}
		}
		if len(n.Command) > 0 || d.has(field+".command") {
			kinds++
			validateProgram(n.Command, field+".command", d)
		}
		switch {
		case kinds == 0:
			d.fault(field, "this tells nobody; write webhook:, slack:, pagerduty: or command: under it")
		case kinds > 1:
			d.fault(field, "this has more than one kind; write each as an element of its own, like [{slack: {…}}, {command: […]}]")
		}
		if n.After < 0 {
			d.fault(field+".after", "%s is negative; write 0s or more", n.After)
		}
		if n.Repeat < 0 || n.Repeat > 0 && n.Repeat < time.Minute {
			d.fault(field+".repeat", "%s would flood who is told; write 1m or more, or 0s to tell once", n.Repeat)
		}
	}
	if h := c.Heartbeat; h != nil {
		validateWebhook(Webhook{URL: h.URL, URLFile: h.URLFile, RootsFile: h.RootsFile}, "heartbeat", d)
		if h.Every < 10*time.Second {
			d.fault("heartbeat.every", "%s is too often; write 10s or more", h.Every)
		}
	}
}

func validateWebhook(w Webhook, field string, d *document) {
	validateEither(w.URL, w.URLFile, field, d)
	validateRoots(w.RootsFile, field, d)
}

func validateRoots(path, field string, d *document) {
	if path != "" || d.has(field+".roots_file") {
		absolute(d, field+".roots_file", path)
	}
}

// validateEither checks a URL that stands in the file, or in one of its own.
func validateEither(text string, file Secret, field string, d *document) {
	plain, secret := text != "" || d.has(field+".url"), file.Set() || d.has(field+".url_file")
	switch {
	case plain && secret:
		d.fault(field+".url_file", "url is given too; keep one of them: url_file where the URL itself is the secret")
	case plain:
		validateWebURL(text, field+".url", "https://example.com/hook", d)
	case !secret:
		d.fault(field, "no URL is given; write url_file: credential:NAME, or url: for one that is no secret")
	}
}

func validateWebURL(text, field, example string, d *document) {
	if fault := webURLFault(text); fault != "" {
		// Not quoted: there may be a secret in it.
		d.fault(field, "%s; write it like %s", fault, example)
	}
}

// webURLFault tells what keeps text from being a URL that may be fetched, or
// returns "". It quotes nothing.
func webURLFault(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return "this is not the URL of a web service"
	case u.User != nil:
		return "the URL has a user or password in it"
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "the URL is not encrypted, which is for loopback only"
	}
	return ""
}

func validateProgram(command []string, field string, d *document) {
	if len(command) == 0 {
		d.fault(field, "this names no program; write it like [/usr/local/bin/tell, ops]")
		return
	}
	absolute(d, field+"[0]", command[0])
	for i, argument := range command {
		if strings.ContainsRune(argument, 0) {
			d.fault(fmt.Sprintf("%s[%d]", field, i), "this has a zero byte; leave it out")
		}
	}
}

// checkNotify looks at the secrets and files that notify and heartbeat name.
func checkNotify(c *Config, d *document) {
	roots := func(field, path string) {
		if path != "" {
			checkReadable(d, field+".roots_file", path)
		}
	}
	hook := func(field string, w *Webhook) {
		if w == nil {
			return
		}
		checkSecret(d, field+".url_file", w.URLFile, webURLForm)
		checkSecret(d, field+".token_file", w.TokenFile, nil)
		roots(field, w.RootsFile)
	}
	for i, n := range c.Notify {
		field := fmt.Sprintf("notify[%d]", i)
		hook(field+".webhook", n.Webhook)
		hook(field+".slack", n.Slack)
		if n.PagerDuty != nil {
			checkSecret(d, field+".pagerduty.key_file", n.PagerDuty.KeyFile, nil)
			roots(field+".pagerduty", n.PagerDuty.RootsFile)
		}
		if len(n.Command) > 0 {
			if err := programFault(n.Command[0]); err != nil {
				d.fault(field+".command[0]", "%v", err)
			}
		}
	}
	if c.Heartbeat != nil {
		checkSecret(d, "heartbeat.url_file", c.Heartbeat.URLFile, webURLForm)
		roots("heartbeat", c.Heartbeat.RootsFile)
	}
}

func webURLForm(data []byte) error {
	if fault := webURLFault(string(data)); fault != "" {
		return errors.New(fault + "; put the URL there alone")
	}
	return nil
}
