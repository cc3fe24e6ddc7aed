package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/secret"
)

// A Webhook posts each Message as JSON. Any 2xx answer is success.
type Webhook struct{ Service }

// Send implements Sender.
func (w Webhook) Send(ctx context.Context, m Message) error { return w.post(ctx, m.Version, m) }

// Slack is an incoming webhook of Slack, or of what takes the same:
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
type Slack struct{ Service }

// escapes are those of Slack: "&, <, and > … are control characters". An @ must
// not call people because an error has it: Mattermost would.
var escapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "@\u200b")

// Send implements Sender. A test is one message.
func (s Slack) Send(ctx context.Context, m Message) error {
	text := m.line()
	switch {
	case m.Test && m.Status == Resolved:
		return nil
	case m.Test:
	case m.Status == Resolved:
		text += fmt.Sprintf("\nfrom %s to %s", plain.Time(m.Since), plain.Time(m.Now))
	default:
		text += "\nsince " + plain.Time(m.Since)
	}
	return s.post(ctx, m.Version, struct {
		Text string `json:"text"`
	}{escapes.Replace(text)})
}

// PagerDuty is an integration with Events API v2:
// https://developer.pagerduty.com/docs/send-alert-event
type PagerDuty struct {
	Service
	KeyFile secret.Secret // the integration's routing key
}

type pagerEvent struct {
	RoutingKey string        `json:"routing_key"`
	Action     string        `json:"event_action"` // trigger, resolve
	DedupKey   string        `json:"dedup_key"`
	Client     string        `json:"client,omitempty"`
	Payload    *pagerPayload `json:"payload,omitempty"` // of trigger
}

type pagerPayload struct {
	Summary   string    `json:"summary"`
	Source    string    `json:"source"`
	Severity  string    `json:"severity"` // critical, warning, error, info
	Timestamp time.Time `json:"timestamp"`
	Component string    `json:"component"`
	Group     string    `json:"group"`
	Class     string    `json:"class"`
	Details   Message   `json:"custom_details"`
}

// What Events API v2 takes at most, in characters.
const (
	maxSummary = 1024
	maxDedup   = 255
)

// Send implements Sender.
func (p PagerDuty) Send(ctx context.Context, m Message) error {
	key, err := p.KeyFile.Text()
	if err != nil {
		return err
	}
	p.secretBody = true
	return p.post(ctx, m.Version, pagerEventOf(m, key))
}

func pagerEventOf(m Message, key string) pagerEvent {
	e := pagerEvent{RoutingKey: key, Action: "resolve", DedupKey: dedupKey(m)}
	if m.Status == Resolved {
		return e
	}
	e.Action, e.Client = "trigger", "redis-cert-agent"
	e.Payload = &pagerPayload{
		Summary: plain.Clip(m.line(), maxSummary), Source: m.Host, Severity: string(m.Problem.Severity), Timestamp: m.Since,
		Component: "redis-cert-agent", Group: m.Instance, Class: m.Problem.Kind, Details: m,
	}
	return e
}

// dedupKey names a problem of this host, so that what is told again changes the
// incident that there is.
func dedupKey(m Message) string {
	key := strings.Join([]string{"redis-cert-agent", m.Host, m.Instance, m.Problem.Key}, "/")
	if len(key) <= maxDedup {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "redis-cert-agent/" + hex.EncodeToString(sum[:])
}
