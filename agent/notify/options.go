package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"
)

// PagerDutyURL is where PagerDuty takes events.
const PagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// A Service is a URL, and what is needed to be heard there. Exactly one of URL
// and URLFile is set.
type Service struct {
	URL       string        // https, or http on loopback
	URLFile   secret.Secret // of services whose URL is the secret
	TokenFile secret.Secret // for Authorization: Bearer; may be none
	RootsFile string        // a PEM file with the roots that the service is verified by; empty: those of the system

	// secretBody says that what is sent holds a secret, as URLFile says of the URL.
	// A service may repeat it, as it may the token, so that nothing is passed on of
	// what it answers.
	secretBody bool
}

// A Target is one place that gets messages.
type Target struct {
	Name   string        // for people
	ID     string        // the same as long as it is the same place; its key in the file
	After  time.Duration // how long a problem must last, or be gone, before that is sent
	Repeat time.Duration // after how long a problem that lasts is sent again; 0: never
	Sender
}

// DefaultTarget returns what holds for a target of which nothing is said.
func DefaultTarget() Target { return Target{After: time.Minute, Repeat: 24 * time.Hour} }

// DefaultPagerDuty returns what holds for an integration of which nothing is said.
func DefaultPagerDuty() PagerDuty { return PagerDuty{Service: Service{URL: PagerDutyURL}} }

// DefaultHeartbeat returns what holds for a heartbeat of which nothing is said.
func DefaultHeartbeat() Heartbeat { return Heartbeat{Every: 5 * time.Minute} }

// A place is a Sender that a configuration describes.
type place interface {
	kind() string     // its key in the configuration
	identity() string // what tells it from others of its kind
	faults(r option.Report)
	fileFaults(r option.Report)
}

// Identify gives targets their names and IDs. An ID is a hash, because a URL may
// be a secret, and does not depend on the place in the list, so that the list may
// be put in another order.
func Identify(targets []Target) {
	kinds, ids := map[string]int{}, map[string]int{} // how many there are of each
	for i := range targets {
		t := &targets[i]
		p, ok := t.Sender.(place)
		if !ok {
			continue
		}
		t.Name = p.kind()
		kinds[t.Name]++
		sum := sha256.Sum256([]byte(t.Name + "\x00" + p.identity()))
		t.ID = hex.EncodeToString(sum[:8])
		if ids[t.ID]++; ids[t.ID] > 1 {
			t.ID += fmt.Sprintf("-%d", ids[t.ID])
		}
	}
	number := map[string]int{}
	for i := range targets {
		kind := targets[i].Name
		if kinds[kind] > 1 {
			targets[i].Name = fmt.Sprintf("%s[%d]", kind, number[kind])
		}
		number[kind]++
	}
}

// Faults tells what cannot work. Fields have the names of the configuration.
func (t Target) Faults(r option.Report) {
	if p, ok := t.Sender.(place); ok {
		p.faults(option.Under(r, p.kind()))
	}
	if t.After < 0 {
		r.Fault("after", "%s is negative; write 0s or more", t.After)
	}
	if t.Repeat < 0 || t.Repeat > 0 && t.Repeat < time.Minute {
		r.Fault("repeat", "%s would flood who is told; write 1m or more, or 0s to tell once", t.Repeat)
	}
}

// FileFaults looks at the files and secrets that t names.
func (t Target) FileFaults(r option.Report) {
	if p, ok := t.Sender.(place); ok {
		p.fileFaults(option.Under(r, p.kind()))
	}
}

// Faults tells what cannot work. Fields have the names of the configuration.
func (h Heartbeat) Faults(r option.Report) {
	h.Service.faults(r)
	if h.Every < 10*time.Second {
		r.Fault("every", "%s is too often; write 10s or more", h.Every)
	}
}

// FileFaults looks at the files and secrets that h names.
func (h Heartbeat) FileFaults(r option.Report) { h.Service.fileFaults(r) }

func (Webhook) kind() string { return "webhook" }
func (Slack) kind() string   { return "slack" }

func (s Service) identity() string { return s.URL + "\x00" + s.URLFile.String() }

func (s Service) faults(r option.Report) {
	plain, file := s.URL != "" || r.Given("url"), s.URLFile.Set() || r.Given("url_file")
	switch {
	case plain && file:
		r.Fault("url_file", "url is given too; keep one of them: url_file where the URL itself is the secret")
	case plain:
		if err := urlFault(s.URL); err != nil {
			r.Fault("url", "%v; write it like https://example.com/hook", err)
		}
	case !file:
		r.Fault("", "no URL is given; write url_file: credential:NAME, or url: for one that is no secret")
	}
	option.AbsoluteOrNone(r, "roots_file", s.RootsFile)
}

func (s Service) fileFaults(r option.Report) {
	option.Secret(r, "url_file", s.URLFile, func(text []byte) error {
		if err := urlFault(string(text)); err != nil {
			return fmt.Errorf("%w; put the URL there alone", err)
		}
		return nil
	})
	option.Secret(r, "token_file", s.TokenFile, nil)
	option.Certificates(r, "roots_file", s.RootsFile)
}

// urlFault tells what keeps text from being a URL that may be fetched. It quotes
// nothing, since there may be a secret in it.
func urlFault(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("this is not the URL of a web service")
	case u.User != nil:
		return errors.New("the URL has a user or password in it")
	case u.Scheme == "http" && !option.Loopback(u.Hostname()):
		return errors.New("the URL is not encrypted, which is for loopback only")
	}
	return nil
}

func (PagerDuty) kind() string { return "pagerduty" }

func (p PagerDuty) identity() string { return p.URL + "\x00" + p.KeyFile.String() }

func (p PagerDuty) faults(r option.Report) {
	if err := urlFault(p.URL); err != nil {
		r.Fault("url", "%v; write it like %s", err, PagerDutyURL)
	}
	option.AbsoluteOrNone(r, "roots_file", p.RootsFile)
	if !p.KeyFile.Set() {
		r.Fault("key_file", "missing; write the path of the file that holds the routing key of the integration (Events API v2), or credential:NAME")
	}
}

func (p PagerDuty) fileFaults(r option.Report) {
	option.Secret(r, "key_file", p.KeyFile, nil)
	option.Certificates(r, "roots_file", p.RootsFile)
}

func (Command) kind() string { return "command" }

func (c Command) identity() string { return strings.Join(c.Args, "\x00") }

func (c Command) faults(r option.Report) { c.Faults(r) }

// Faults tells what cannot be run.
func (c Command) Faults(r option.Report) {
	option.Command(r, "", c.Args, "[/usr/local/bin/tell, ops]")
}

func (c Command) fileFaults(r option.Report) { c.FileFaults(r) }

// FileFaults looks at the program.
func (c Command) FileFaults(r option.Report) {
	if len(c.Args) > 0 {
		option.Program(r, "[0]", c.Args[0])
	}
}
