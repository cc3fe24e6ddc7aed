package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/report"
)

// A public authority counts failed orders and locks out who makes too many. A
// service manager that restarts the agent again and again must not spend them:
// the failures in a row stand in a file until the next success. A change of the
// configuration, which is how a person mends things, starts anew.

// recall reads the failures that an earlier process left behind. A file that
// cannot be read is as good as none: it only ever holds an attempt back.
func (a *Agent) recall() {
	text, err := os.ReadFile(a.Attempts)
	if err != nil {
		return
	}
	var kept plan.Attempts
	if json.Unmarshal(text, &kept) == nil && kept.Failed > 0 && kept.Last.Before(now().Add(time.Minute)) {
		a.issuing = kept
		a.issueErr = fmt.Errorf("%d attempts at a certificate failed before this start; `redis-cert-agent renew` does not wait", kept.Failed)
	}
}

// keep writes them down, or removes the file when there are none.
func (a *Agent) keep() error {
	if a.Attempts == "" {
		return nil
	}
	if a.issuing.Failed == 0 {
		if err := os.Remove(a.Attempts); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget failed attempts: %w", err)
		}
		return nil
	}
	text, err := json.Marshal(a.issuing)
	if err != nil {
		return fmt.Errorf("keep failed attempts: %w", err)
	}
	if err := report.ReplaceFile(a.Attempts, text); err != nil {
		return fmt.Errorf("keep failed attempts: %w", err)
	}
	return nil
}
