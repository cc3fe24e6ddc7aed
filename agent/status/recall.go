package status

import (
	"fmt"
	"time"

	"redis-cert-agent/agent/plain"
)

// A Window is when an authority wants a certificate to be renewed (RFC 9773).
type Window struct {
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Explanation string    `json:"explanation_url,omitempty"` // where it says why
}

// A Recall says that an authority moved the renewal window of a certificate into the
// past, which it does before it revokes many of them.
type Recall struct {
	Serial      string    `json:"serial"` // hex
	By          string    `json:"by"`     // the authority's URL
	Explanation string    `json:"explanation_url,omitempty"`
	At          time.Time `json:"at"` // when the agent read it
}

// Text says it for people, on one line.
func (r Recall) Text() string {
	text := fmt.Sprintf("%s wants the certificate %s replaced at once", r.By, plain.ShortSerial(r.Serial))
	if r.Explanation == "" {
		return text + ", and does not say why: its status page may"
	}
	return text + ", and explains why: " + r.Explanation
}
