// Command tellall logs one entry as the agent would. A test builds it with the
// path of its own journal socket.
package main

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"redis-cert-agent/agent/journal"
)

func main() {
	l := journal.NewLogger(os.Stderr, slog.LevelInfo).With(journal.KeyInstance, "default")
	journal.Issued.Log(context.Background(), l, "issued 7e22b781", slog.Duration(journal.KeyDuration, 1500*time.Millisecond))
	l.Debug("not at this level")
	l.Error(strings.Repeat("x", 1<<20)+"\nend", "big", true)
}
