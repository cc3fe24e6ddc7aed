package metrics

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// maxConns is how many connections there may be at metrics.listen; further ones
// wait. It is large, so that clients that are slow do not keep scrapes out before
// their time is over, and bounded, so that they take neither the memory nor the
// file descriptors that a renewal needs.
const maxConns = 256

// A client has so long to send its request, and to take the answer.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 10 * time.Second
)

// Listen takes hold of the TCP address of metrics.listen.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics.listen: %w; choose an address of this host and a port that nothing else has", err)
	}
	return netutil.LimitListener(l, maxConns), nil
}

// Serve answers GET /metrics on l, and nothing else, until ctx ends.
func (m *Metrics) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	server := &http.Server{
		Handler:        mux,
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		MaxHeaderBytes: 8 << 10,
		ErrorLog:       log.New(io.Discard, "", 0), // a client that hangs up is no news
	}
	// One connection for each scrape: one that is kept for the next would wake
	// the agent in between, and keep others out.
	server.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(l)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("metrics.listen: %w", err)
}
