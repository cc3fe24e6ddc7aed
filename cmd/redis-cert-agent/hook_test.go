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

// hookSecrets are what the places that are told are reached by. Nothing that the
// agent writes may have them.
var hookSecrets = []string{"PATHsecretXXXX", "TOKENsecretXXXX", "KEYsecretXXXXXXXXXXXXXXXXXXXXXXXX"}

// A hook is the web services that are told, with one certificate.
type hook struct {
	*httptest.Server
	log string

	mu    sync.Mutex
	moods map[string]string // by the first element of the path; empty: takes everything
}

// cmdHook runs web services at $HOOK_URL, which $HOOK_ROOTS verifies. The first
// element of a path names a service, and what it gets is a line of hook.log:
//
//	/slack POST bearer {"text": …}
//
//	hook start                           runs them
//	hook pass|hang|fail|refuse SERVICE   what it does from now on; refuse repeats the path and the token
//	hook secretless                      no file, and nothing of the running agent that others see, has one of their secrets
//
// The secrets are in path.secret, token.secret and key.secret.
func (s *stage) cmdHook(ts *testscript.TestScript, args []string) error {
	switch args[0] {
	case "start":
		return s.startHook(ts)
	case "secretless":
		return s.secretless()
	}
	s.hook.mu.Lock()
	defer s.hook.mu.Unlock()
	s.hook.moods[args[1]] = args[0]
	return nil
}

func (s *stage) startHook(ts *testscript.TestScript) error {
	root := redistest.NewRoot(s.t)
	h := &hook{log: s.path("hook.log"), moods: map[string]string{}}
	h.Server = httptest.NewUnstartedServer(h)
	h.TLS = &tls.Config{Certificates: []tls.Certificate{*root.Issue(s.t, redistest.Leaf{}).TLS()}}
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	ts.Defer(func() {
		h.CloseClientConnections() // those that hang
		h.Close()
	})
	s.hook = h
	ts.Setenv("HOOK_URL", h.URL)
	ts.Setenv("HOOK_ROOTS", s.path("hook-roots.pem"))
	write := func(name, text string) error { return os.WriteFile(s.path(name), []byte(text+"\n"), 0o600) }
	return errors.Join(
		write("hook.log", ""), write("hook-roots.pem", pemText(root.Cert)),
		write("webhook.secret", h.URL+"/webhook/"+hookSecrets[0]), write("slack.secret", h.URL+"/slack/"+hookSecrets[0]),
		write("heartbeat.secret", h.URL+"/heartbeat/"+hookSecrets[0]), write("token.secret", hookSecrets[1]), write("key.secret", hookSecrets[2]),
	)
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	service, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	word := "-"
	if r.Header.Get("Authorization") == "Bearer "+hookSecrets[1] {
		word = "bearer"
	}
	line := fmt.Sprintf("/%s %s %s %s\n", service, r.Method, word, bytes.TrimSpace(text))
	h.mu.Lock()
	mood := h.moods[service]
	h.write(strings.ReplaceAll(line, hookSecrets[2], "KEY"))
	h.mu.Unlock()
	switch mood {
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

func (h *hook) write(line string) {
	f, err := os.OpenFile(h.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return // the script is over
	}
	defer f.Close()
	_, _ = f.WriteString(line)
}

// secretless looks for the secrets wherever they may have got to.
func (s *stage) secretless() error {
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
		for _, hidden := range hookSecrets {
			if strings.Contains(string(text), hidden) {
				return fmt.Errorf("%s has %s", path, hidden)
			}
		}
	}
	return nil
}
