package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/status"
)

// ErrNotRunning says that no agent listens on the control socket.
var ErrNotRunning = errors.New("no agent is running")

// maxReply bounds what a client reads.
const maxReply = 1 << 20

// Client asks the agent behind a control socket.
type Client struct {
	path string
	http *http.Client
}

// Dial returns a client of the agent that listens at path. It connects with
// each request; where nobody listens the error is ErrNotRunning.
func Dial(path string) *Client {
	var dialer net.Dialer
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 8 << 10,
	}}}
}

// Status asks for the status. It waits five seconds at most.
func (c *Client) Status(ctx context.Context) (status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var s status.Status
	return s, c.ask(ctx, http.MethodGet, "/status", &s)
}

// History asks for the last events, the oldest first. It waits five seconds at
// most.
func (c *Client) History(ctx context.Context) ([]journal.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var records []journal.Record
	return records, c.ask(ctx, http.MethodGet, "/history", &records)
}

// Renew makes the agent look now and, with force, get a new certificate. It
// waits until that has ended, which may take minutes, or ctx ends. The error is
// the agent's own.
func (c *Client) Renew(ctx context.Context, force bool) (Outcome, error) {
	return c.RenewPair(ctx, "", force)
}

// RenewPair is Renew for the pair of a client; an empty name is that of the servers.
func (c *Client) RenewPair(ctx context.Context, name string, force bool) (Outcome, error) {
	asked := url.Values{}
	if name != "" {
		asked.Set("pair", name)
	}
	if force {
		asked.Set("force", "1")
	}
	path := "/renew"
	if len(asked) > 0 {
		path += "?" + asked.Encode()
	}
	var r reply
	err := c.ask(ctx, http.MethodPost, path, &r)
	return r.Outcome, err
}

// Rehearse makes the agent try everything that a renewal needs, without issuing, and
// returns the status that tells what it found. It waits until that has ended, which may
// take minutes, or ctx ends.
func (c *Client) Rehearse(ctx context.Context) (status.Status, error) {
	var s status.Status
	return s, c.ask(ctx, http.MethodPost, "/rehearse", &s)
}

// Reload makes the agent read its configuration again. The error is the
// agent's own; then the old configuration goes on.
func (c *Client) Reload(ctx context.Context) error {
	return c.ask(ctx, http.MethodPost, "/reload", &reply{})
}

func (c *Client) ask(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return fmt.Errorf("the agent at %s stopped while it answered: %w", c.path, err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, into); err != nil {
			return fmt.Errorf("the answer at %s is not that of an agent: %w", c.path, err)
		}
		return nil
	}
	var r reply
	if json.Unmarshal(body, &r) != nil || r.Error == "" {
		return fmt.Errorf("the agent at %s answers %s; is it of another version?", c.path, resp.Status)
	}
	if out, ok := into.(*reply); ok {
		*out = r
	}
	return errors.New(r.Error)
}

// explain tells what keeps a client from asking.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing listens on %s", ErrNotRunning, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is not for this user; ask as root or as the user of the agent", c.path)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the agent at %s does not answer: %w", c.path, err)
	}
	return fmt.Errorf("ask the agent: %w", err)
}
