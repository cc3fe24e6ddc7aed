package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"redis-cert-agent/agent/control"
	"redis-cert-agent/agent/status"
)

// odd is a listener whose accept fails once with an error that net/http does not know.
type odd struct{ net.Listener }

func (odd) Accept() (net.Conn, error) { return nil, errors.New("protocol error") }

// TestListenerIsMadeAnew: a control socket whose accept fails answers again.
func TestListenerIsMadeAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	anew := make(chan struct{})
	listen := func() (net.Listener, error) {
		defer close(anew)
		return control.Listen(path)
	}
	handlers := control.Handlers{Status: func(context.Context) status.Status { return status.Status{Instance: "here"} }}
	s := service{listen, func(ctx context.Context, l net.Listener) error { return control.Serve(ctx, l, handlers) }}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.keep(ctx, odd{l}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	}()
	select {
	case <-anew: // the kernel takes connections from now on
	case <-time.After(limit):
		t.Fatal("nobody listens any more")
	}
	if got, err := control.Dial(path).Status(t.Context()); err != nil || got.Instance != "here" {
		t.Errorf("nobody answers any more: %+v, %v", got, err)
	}
	stop()
	<-ended
}
