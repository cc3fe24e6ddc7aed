package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"redis-cert-agent/agent/status"
)

// What a message says of its problem.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// A Message is one notification. Its JSON is what webhooks and commands get:
// names and meanings stay, new ones may come. Times are RFC 3339, in UTC.
type Message struct {
	Status   string         `json:"status"`         // firing, resolved
	Test     bool           `json:"test,omitempty"` // nothing is wrong: somebody tries whether this arrives
	Instance string         `json:"instance"`       // the agent among those of the host
	Host     string         `json:"host"`
	Version  string         `json:"version"` // of the agent
	Problem  status.Problem `json:"problem"` // of resolved: as it was told last
	Since    time.Time      `json:"since"`   // when the agent first saw it
	Now      time.Time      `json:"now"`
	Pair     *Pair          `json:"pair"` // what a server that starts now loads; null when there is none
}

// Pair is the certificate on disk.
type Pair struct {
	Serial   string    `json:"serial"` // hex
	NotAfter time.Time `json:"not_after"`
}

// line is the message for people, in one line.
func (m Message) line() string {
	word := string(m.Problem.Severity)
	if m.Status == Resolved {
		word = m.Status
	}
	if m.Test {
		word = "test, " + word
	}
	return fmt.Sprintf("[%s] %s: %s", strings.ToUpper(word), m.where(), m.Problem.Text)
}

// where names the host, and the instance where the host may have several.
func (m Message) where() string {
	if m.Instance == "default" {
		return m.Host
	}
	return fmt.Sprintf("%s (%s)", m.Host, m.Instance)
}

// encode writes v as JSON and a newline. What people may read in a log of the
// receiver is not escaped for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// second is a time as messages and files have it.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
