package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"redis-cert-agent/agent/status"
)

// A Rotate asks for the replacement of keys that may be in other hands.
type Rotate struct {
	Pair        string // of a client; empty: of the servers and of all clients
	Reason      int    // of the revocation (RFC 5280, section 5.3.1)
	NoRevoke    bool
	RevokeFirst bool
}

// rotateLine is one line of the answer to POST /rotate: what happened, or, on the last one,
// what came of it.
type rotateLine struct {
	Progress  string            `json:"progress,omitempty"`
	Error     string            `json:"error,omitempty"`
	Rotations []status.Rotation `json:"rotations,omitempty"`
	Last      bool              `json:"last,omitempty"`
}

func (r Rotate) values() url.Values {
	v := url.Values{"reason": {strconv.Itoa(r.Reason)}}
	if r.Pair != "" {
		v.Set("pair", r.Pair)
	}
	if r.NoRevoke {
		v.Set("no-revoke", "1")
	}
	if r.RevokeFirst {
		v.Set("revoke-first", "1")
	}
	return v
}

func rotateOf(v url.Values) (Rotate, error) {
	reason, err := strconv.Atoi(v.Get("reason"))
	if err != nil || reason < 0 || reason > 10 {
		return Rotate{}, fmt.Errorf("%q is no reason for a revocation", v.Get("reason"))
	}
	return Rotate{v.Get("pair"), reason, v.Get("no-revoke") == "1", v.Get("revoke-first") == "1"}, nil
}

// rotate answers in lines, as things happen. Whoever asked may go: what began goes on.
func (h Handlers) rotate(w http.ResponseWriter, r *http.Request) {
	asked, err := rotateOf(r.URL.Query())
	if err != nil {
		result(w, reply{}, err)
		return
	}
	progress, ended := make(chan string, 256), make(chan rotateLine, 1)
	go func() {
		rotations, err := h.Rotate(r.Context(), asked, func(text string) {
			select {
			case progress <- text:
			default: // who reads too slowly misses it
			}
		})
		last := rotateLine{Rotations: rotations, Last: true}
		if err != nil {
			last.Error = err.Error()
		}
		ended <- last
	}()
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	for {
		select {
		case text := <-progress:
			write(w, rotateLine{Progress: text})
		case last := <-ended:
			for len(progress) > 0 {
				write(w, rotateLine{Progress: <-progress})
			}
			write(w, last)
			return
		}
	}
}

// write writes one line, which has ten seconds.
func write(w http.ResponseWriter, line rotateLine) {
	brief(w)
	_ = json.NewEncoder(w).Encode(line)
	_ = http.NewResponseController(w).Flush()
}

// Rotate has the running agent replace keys, and tells say what happens. It waits until
// the agent has done what can be done now, or ctx ends; the agent goes on in any case. The
// error is the agent's own.
func (c *Client) Rotate(ctx context.Context, r Rotate, say func(string)) ([]status.Rotation, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/rotate?"+r.values().Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var refused reply
		if json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxReply)).Decode(&refused) != nil || refused.Error == "" {
			return nil, fmt.Errorf("the agent at %s answers %s; is it of another version?", c.path, resp.Status)
		}
		return nil, errors.New(refused.Error)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxReply)
	for lines.Scan() {
		var line rotateLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("the answer at %s is not that of an agent: %w", c.path, err)
		}
		switch {
		case !line.Last:
			say(line.Progress)
		case line.Error != "":
			return line.Rotations, errors.New(line.Error)
		default:
			return line.Rotations, nil
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("the agent at %s stopped while it answered: %w", c.path, err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("the agent at %s stopped while it answered: what began goes on when it runs again", c.path)
}
