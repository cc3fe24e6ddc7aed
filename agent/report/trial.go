package report

import (
	"context"
	"net/http"
	"time"
)

// A Trial is how a test message fared at one place of notify.
type Trial struct {
	Target string        `json:"target"`
	Took   time.Duration `json:"took"` // nanoseconds
	Error  string        `json:"error,omitempty"`
}

// TestNotify makes the agent send a test message to every place of notify. It
// waits for all of them, or until ctx ends.
func (c *Client) TestNotify(ctx context.Context) ([]Trial, error) {
	var all []Trial
	return all, c.ask(ctx, http.MethodPost, "/notify", &all)
}
