package control

import (
	"context"
	"net/http"

	"redis-cert-agent/agent/notify"
)

// TestNotify makes the agent send a test message to every target of notify. It
// waits for all of them, or until ctx ends.
func (c *Client) TestNotify(ctx context.Context) ([]notify.Result, error) {
	var all []notify.Result
	return all, c.ask(ctx, http.MethodPost, "/notify", &all)
}
