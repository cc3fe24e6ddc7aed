// Package control is both ends of the control socket: the commands ask at one, and
// the running agent answers at the other.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"redis-cert-agent/agent/plain"

	"redis-cert-agent/agent/journal"
	"redis-cert-agent/agent/notify"
	"redis-cert-agent/agent/status"
)

// Handlers is what the control socket can ask of a running agent.
type Handlers struct {
	Status  func(ctx context.Context) status.Status
	Metrics http.Handler // of GET /metrics
	History func() []journal.Record
	Renew   func(ctx context.Context, force bool) (Outcome, error)
	Reload  func(ctx context.Context) error

	Rehearse func(ctx context.Context) (status.Status, error)
	// RenewPair is Renew for the pair of a client.
	RenewPair func(ctx context.Context, name string, force bool) (Outcome, error)

	// Rotate replaces keys, and tells say, which does not block, what happens.
	Rotate func(ctx context.Context, r Rotate, say func(string)) ([]status.Rotation, error)

	TestNotify func(ctx context.Context) []notify.Result
}

// Outcome is what a renewal did.
type Outcome struct {
	Issued   bool      `json:"issued"` // there is another certificate than before
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"not_after,omitzero"`
	Text     string    `json:"text"` // the same for people, in one line
}

// OutcomeOf compares the status before and after a renewal.
func OutcomeOf(before, after status.Status) Outcome {
	old, latest := before.Newest(), after.Newest()
	if latest == nil {
		return Outcome{Text: "there is no certificate"}
	}
	o := Outcome{Serial: latest.Serial, NotAfter: latest.NotAfter}
	o.Issued = old == nil || old.Fingerprint != latest.Fingerprint
	switch {
	case !o.NotAfter.After(after.Now):
		o.Text = fmt.Sprintf("serial %s expired %s, at %s, %s", o.Serial, plain.Ago(after.Now, o.NotAfter), plain.Time(o.NotAfter), after.ServersProven())
	case after.MonitorOnly && o.Issued:
		o.Text = fmt.Sprintf("another program put serial %s there, valid until %s, %s", o.Serial, plain.Time(o.NotAfter), after.ServersProven())
	case after.MonitorOnly:
		o.Text = fmt.Sprintf("serial %s is good until %s, %s; another program renews it", o.Serial, plain.Time(o.NotAfter), after.ServersProven())
	case o.Issued:
		o.Text = fmt.Sprintf("issued serial %s, valid until %s, %s", o.Serial, plain.Time(o.NotAfter), after.ServersProven())
	default:
		o.Text = fmt.Sprintf("serial %s is good until %s, %s; ask for another one with --force", o.Serial, plain.Time(o.NotAfter), after.ServersProven())
	}
	return o
}

// reply is the body of every answer but that of GET /status.
type reply struct {
	Error   string  `json:"error,omitempty"`
	Outcome Outcome `json:"outcome,omitzero"`
}

// Listen makes the control socket at path, for the agent's user and group. A
// socket that nobody listens on, as a killed agent leaves it, is replaced;
// anything else at path is an error.
func Listen(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("control socket: %s is not a socket; remove it, or set control: to another path", path)
	default:
		if err := removeStale(path); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w; the directory must exist and belong to this user (RuntimeDirectory= in the unit)", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

func removeStale(path string) error {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another agent listens on %s; stop it first", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// Serve answers on l until ctx ends, then removes the socket. Requests that
// are under way are cancelled with ctx.
//
//	GET  /status          the Status as JSON
//	GET  /metrics         the same, and counts, as Prometheus scrapes them
//	GET  /history         the last events as JSON, the oldest first
//	POST /renew[?force=1] looks now; with force, gets a new certificate
//	POST /rehearse        tries everything that a renewal needs, without issuing; answers the Status
//	POST /renew?pair=NAME does that for a client's pair
//	POST /rotate?reason=N replaces keys that may be in other hands; answers line by line
//	POST /reload          reads the configuration again
//	POST /notify          sends a test message to every place of notify
//
// Everybody who can connect may GET; only root and the agent's own user may POST.
func Serve(ctx context.Context, l net.Listener, h Handlers) error {
	// No ReadTimeout: it would go on while a handler works, and cancel a
	// renewal that takes longer. No handler reads a body.
	server := &http.Server{
		Handler:           h.mux(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    8 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
		ErrorLog:          log.New(discard{}, "", 0), // a client that hangs up is no news
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(l) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	<-stopped // http.ErrServerClosed, since it was told to
	return nil
}

func (h Handlers) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, h.Status(r.Context()))
	})
	mux.HandleFunc("GET /history", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, h.History())
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		brief(w)
		h.Metrics.ServeHTTP(w, r)
	})
	mux.HandleFunc("POST /renew", privileged(func(w http.ResponseWriter, r *http.Request) {
		renew, asked := h.Renew, r.URL.Query()
		if name := asked.Get("pair"); name != "" {
			renew = func(ctx context.Context, force bool) (Outcome, error) { return h.RenewPair(ctx, name, force) }
		}
		outcome, err := renew(r.Context(), asked.Get("force") == "1")
		result(w, reply{Outcome: outcome}, err)
	}))
	mux.HandleFunc("POST /rehearse", privileged(func(w http.ResponseWriter, r *http.Request) {
		s, err := h.Rehearse(r.Context())
		if err != nil {
			result(w, reply{}, err)
			return
		}
		answer(w, http.StatusOK, s)
	}))
	mux.HandleFunc("POST /rotate", privileged(h.rotate))
	mux.HandleFunc("POST /reload", privileged(func(w http.ResponseWriter, r *http.Request) {
		result(w, reply{}, h.Reload(r.Context()))
	}))
	mux.HandleFunc("POST /notify", privileged(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, h.TestNotify(r.Context()))
	}))
	return mux
}

func result(w http.ResponseWriter, body reply, err error) {
	code := http.StatusOK
	if err != nil {
		code, body.Error = http.StatusInternalServerError, err.Error()
	}
	answer(w, code, body)
}

func answer(w http.ResponseWriter, code int, body any) {
	brief(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// A client that has gone away gets no answer, and misses none.
	_ = json.NewEncoder(w).Encode(body)
}

// brief gives the answer that begins now ten seconds, and lets it be the last of
// its connection.
func brief(w http.ResponseWriter) {
	// Not set for the whole server: a renewal may take minutes.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(10 * time.Second))
	w.Header().Set("Connection", "close") // and a body is not waited for
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
