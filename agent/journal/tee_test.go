package journal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTee(t *testing.T) {
	var b bytes.Buffer
	var got []Entry
	// Also an event that the log does not want reaches the sink.
	l := slog.New(Tee(newTextHandler(&b, slog.LevelWarn, false), func(e Entry) { got = append(got, e) }))
	l = l.With(slog.String(KeyInstance, "cache"), slog.String(KeyServer, "old"))
	Loaded.Log(context.Background(), l, "it serves", slog.String(KeyServer, "127.0.0.1:6379"), slog.Duration(KeyDuration, time.Second))
	ReloadFailed.Log(context.Background(), l, "it does not", slog.Any(KeyError, errors.New("refused")))
	l.Error("no event")
	if len(got) != 2 || got[0].Event != Loaded || got[1].Event != ReloadFailed || got[0].Message != "it serves" || got[0].Time.IsZero() {
		t.Fatalf("got %+v", got)
	}
	first, second := got[0], got[1]
	if first.Text(KeyServer) != "127.0.0.1:6379" || first.Text(KeyInstance) != "cache" || first.Attrs[KeyDuration].Duration() != time.Second ||
		first.Text(KeyMessageID) != "" || second.Text(KeyError) != "refused" || second.Text(KeyServer) != "old" {
		t.Errorf("got %+v", got)
	}
	if said := b.String(); strings.Contains(said, "it serves") || !strings.Contains(said, "it does not instance=cache server=old error=refused\n") || !strings.Contains(said, "no event") {
		t.Errorf("logged %q", said)
	}
}
