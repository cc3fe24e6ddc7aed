package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/reload/redistest"
)

// webhookSecrets are what it takes to reach the web services that are told. Nothing that the
// agent writes may have them.
var webhookSecrets = []string{"PATHsecretXXXX", "TOKENsecretXXXX", "KEYsecretXXXXXXXXXXXXXXXXXXXXXXXX"}

// A webhook is the web services that are told, with one certificate.
type webhook struct {
	*httptest.Server
	log string

	mu    sync.Mutex
	modes map[string]string // what a service does, by the first element of the path; empty: it takes everything
}

// cmdWebhook runs web services at $WEBHOOK_URL, which $WEBHOOK_ROOTS verifies. The first
// element of a path names a service, and what it gets is a line of webhook.log:
//
//	/slack POST bearer {"text": …}
//
//	webhook start                          runs them
//	webhook pass|hang|fail|refuse SERVICE  what it does from now on; refuse repeats the path and the token
//	webhook secretless                     no file, and nothing of the running agent that others see, has one of their secrets
//
// The secrets are in path.secret, token.secret and key.secret.
func (s *host) cmdWebhook(ts *testscript.TestScript, args []string) error {
	switch args[0] {
	case "start":
		return s.startWebhook(ts)
	case "secretless":
		return s.secretless()
	}
	s.webhook.mu.Lock()
	defer s.webhook.mu.Unlock()
	s.webhook.modes[args[1]] = args[0]
	return nil
}

func (s *host) startWebhook(ts *testscript.TestScript) error {
	root := redistest.NewRoot(s.t)
	h := &webhook{log: s.path("webhook.log"), modes: map[string]string{}}
	h.Server = httptest.NewUnstartedServer(h)
	h.TLS = &tls.Config{Certificates: []tls.Certificate{*root.Issue(s.t, redistest.Leaf{}).TLS()}}
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	ts.Defer(func() {
		h.CloseClientConnections() // those that hang
		h.Close()
	})
	s.webhook = h
	ts.Setenv("WEBHOOK_URL", h.URL)
	ts.Setenv("WEBHOOK_ROOTS", s.path("webhook-roots.pem"))
	write := func(name, text string) error { return os.WriteFile(s.path(name), []byte(text+"\n"), 0o600) }
	return errors.Join(
		write("webhook.log", ""), write("webhook-roots.pem", pemText(root.Cert)),
		write("webhook.secret", h.URL+"/webhook/"+webhookSecrets[0]), write("slack.secret", h.URL+"/slack/"+webhookSecrets[0]),
		write("heartbeat.secret", h.URL+"/heartbeat/"+webhookSecrets[0]), write("token.secret", webhookSecrets[1]), write("key.secret", webhookSecrets[2]),
	)
}

func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	service, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	word := "-"
	if r.Header.Get("Authorization") == "Bearer "+webhookSecrets[1] {
		word = "bearer"
	}
	line := fmt.Sprintf("/%s %s %s %s\n", service, r.Method, word, bytes.TrimSpace(text))
	h.mu.Lock()
	mode := h.modes[service]
	h.write(strings.ReplaceAll(line, webhookSecrets[2], "KEY"))
	h.mu.Unlock()
	switch mode {
	case "hang":
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // a return would be an answer, which may win the race with the end
	case "fail":
		w.WriteHeader(http.StatusInternalServerError)
	case "refuse":
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "no %s %s %s\n", r.URL, r.Header.Get("Authorization"), text)
	}
}

func (h *webhook) write(line string) {
	f, err := os.OpenFile(h.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return // the script is over
	}
	defer f.Close()
	_, _ = f.WriteString(line)
}

// secretless looks for the secrets wherever they may have got to.
func (s *host) secretless() error {
	var paths []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && filepath.Ext(path) != ".secret" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(paths) < 10 || !slices.Contains(paths, s.path("agent.log")) {
		return fmt.Errorf("there is nothing to search: %v", paths)
	}
	if s.agent != nil {
		proc := fmt.Sprintf("/proc/%d/", s.agent.cmd.Process.Pid)
		paths = append(paths, proc+"cmdline", proc+"environ")
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, hidden := range webhookSecrets {
			if strings.Contains(string(text), hidden) {
				return fmt.Errorf("%s has %s", path, hidden)
			}
		}
	}
	return nil
}
