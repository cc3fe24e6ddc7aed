package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
)

// A public authority counts failed orders and locks out who makes too many. A service
// manager that restarts the agent again and again must not spend them: the failures in a
// row stand in a file until the next success, or until another pair is the newest. A
// change of the configuration, which is how a person mends things, starts anew.

// kept is the content of the file.
type kept struct {
	plan.Attempts
	Authorities map[string]plan.Attempts `json:"authorities,omitempty"` // by kind and URL

	Leaf  string `json:"leaf"`  // fingerprint of the pair that was to be replaced; of zeros without one
	Error string `json:"error"` // the last failure
}

// maxKept bounds what is read of the file.
const maxKept = 64 << 10

// recall reads the failures that an earlier process left behind. A file that cannot be
// read is as good as none: it only ever holds an attempt back.
func (a *Agent) recall() {
	text, err := disk.Read(a.opt.Attempts, maxKept)
	if err != nil {
		return
	}
	var k kept
	if json.Unmarshal(text, &k) != nil || k.Failed <= 0 || k.Last.After(now().Add(time.Minute)) || k.Leaf != a.newest.leaf.String() {
		return
	}
	a.newest.issuing = k.Attempts
	for i, authority := range a.opt.Authorities {
		a.newest.authorities[i] = k.Authorities[authority.Kind+" "+authority.URL]
	}
	if a.request.asked { // who asks does not wait
		a.forgetDelays()
	}
	a.newest.issueFailed = status.Failure{
		Text: fmt.Sprintf("%d attempts at a certificate failed before this start; `redis-cert-agent renew` does not wait; the last one: %s",
			k.Failed, k.Error),
		At: k.Last,
	}
}

// keepAttempts writes them down, or removes the file when there are none.
func (a *Agent) keepAttempts() error {
	if a.opt.Attempts == "" {
		return nil
	}
	if a.newest.issuing.Failed == 0 {
		if err := os.Remove(a.opt.Attempts); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget failed attempts: %w", err)
		}
		return nil
	}
	k := kept{a.newest.issuing, map[string]plan.Attempts{}, a.newest.leaf.String(), a.newest.issueFailed.Text}
	for i, authority := range a.opt.Authorities {
		k.Authorities[authority.Kind+" "+authority.URL] = a.newest.authorities[i]
	}
	text, err := json.Marshal(k)
	if err == nil {
		err = disk.Replace(a.opt.Attempts, text)
	}
	if err != nil {
		return fmt.Errorf("keep failed attempts: %w", err)
	}
	return nil
}
