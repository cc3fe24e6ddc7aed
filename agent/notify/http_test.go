package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/agent/secret"
	"redis-cert-agent/agent/status"
)

var update = flag.Bool("update", false, "write the golden files")

// What nobody may read anywhere.
const (
	hookPath = "/services/T00000000/B00000000/XXXXsecretXXXX"
	token    = "tok-secret-4e711"
	key      = "0123456789abcdef0123456789abcdef"
)

// A receiver is a web service that keeps what it gets.
type receiver struct {
	*httptest.Server
	roots string // a PEM file

	mu   sync.Mutex
	got  []string // requests
	body []string
	head []http.Header
}

// newReceiver starts an HTTPS service.
func newReceiver(t *testing.T, handler http.HandlerFunc) *receiver {
	r := &receiver{roots: filepath.Join(t.TempDir(), "roots.pem")}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.got, r.body, r.head = append(r.got, req.Method+" "+req.URL.String()), append(r.body, string(text)), append(r.head, req.Header)
		r.mu.Unlock()
		handler(w, req)
	}))
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.StartTLS()
	t.Cleanup(r.Close)
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})
	if err := os.WriteFile(r.roots, root, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func is(s string) secret.Secret {
	return secret.Func(func() ([]byte, error) { return []byte(s), nil })
}

// service is that of the receiver, with a path, a query and a token that are secret.
func (r *receiver) service() Service {
	return Service{URLFile: is(r.URL + hookPath + "?key=q-secret-0815"), TokenFile: is(token), RootsFile: r.roots}
}

// sample is a message that has everything.
func sample() Message {
	return Message{
		Status: Firing, Instance: "cache", Host: "redis1", Version: "1.2.3",
		Problem: status.Problem{
			Key: "expiring 7e22 CN=Root & <Sons>", Kind: status.CertExpiring, Subject: "CN=redis1", Severity: status.Critical,
			Text: "the certificate CN=redis1 (serial 7e22, on disk) ends in 2 h, says \"Root & <Sons>\" @channel", Serial: "7e22", NotAfter: start.Add(2 * time.Hour),
		},
		Since: start.Add(-time.Hour), Now: start, Pair: &Pair{"7e22", start.Add(2 * time.Hour)},
	}
}

func isOver(m Message) Message {
	m.Status = Resolved
	return m
}

func isTest(m Message) Message {
	m.Test, m.Instance, m.Pair = true, "default", nil
	m.Problem = status.Problem{Key: "test", Kind: "test", Severity: status.Warning, Text: "this is a test"}
	return m
}

// What each kind of target gets.
func TestPayloads(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	senders := map[string]Sender{"webhook": Webhook{r.service()}, "slack": Slack{r.service()}, "pagerduty": PagerDuty{r.service(), is(key)}}
	for name, sender := range senders {
		for state, m := range map[string]Message{"firing": sample(), "resolved": isOver(sample()), "test": isTest(sample())} {
			if err := sender.Send(t.Context(), m); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r.mu.Lock()
			request, body, head := r.got[len(r.got)-1], r.body[len(r.body)-1], r.head[len(r.head)-1]
			r.mu.Unlock()
			if request != "POST "+hookPath+"?key=q-secret-0815" || head.Get("Authorization") != "Bearer "+token ||
				head.Get("Content-Type") != "application/json" || head.Get("User-Agent") != "redis-cert-agent/1.2.3" {
				t.Errorf("%s: %s %v", name, request, head)
			}
			golden(t, name+"_"+state+".json", body)
		}
	}
	before := r.count()
	if err := senders["slack"].Send(t.Context(), isTest(isOver(sample()))); err != nil || r.count() != before {
		t.Errorf("a test is two messages in the chat: %v", err)
	}
}

// The page shows a message as it is.
func TestPageShowsAMessage(t *testing.T) {
	page, err := os.ReadFile("../../docs/notify.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	shown, _, _ := strings.Cut(rest, "```")
	var m Message
	d := json.NewDecoder(strings.NewReader(shown))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	text, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(shown)); err != nil || compact.String()+"\n" != string(text) {
		t.Errorf("the page shows\n%s\nthe agent sends\n%s", compact.String(), text)
	}
}

// golden compares text, JSON in one line, with a file that is easier to read.
func golden(t *testing.T, name, text string) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		t.Fatalf("%s: %v in %s", name, err, text)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), want)
	}
}

func TestPagerDutyLimits(t *testing.T) {
	m := sample()
	m.Problem.Text = strings.Repeat("é", 2000)
	m.Problem.Key = strings.Repeat("k", 300)
	e := pagerEventOf(m, key)
	if n := len([]rune(e.Payload.Summary)); n != maxSummary {
		t.Errorf("a summary of %d characters", n)
	}
	over := pagerEventOf(isOver(m), key)
	if len(e.DedupKey) > maxDedup || e.DedupKey != over.DedupKey {
		t.Errorf("%q is resolved as %q", e.DedupKey, over.DedupKey)
	}
	other := m
	other.Problem.Key += "x"
	elsewhere := m
	elsewhere.Host = "redis2"
	if pagerEventOf(other, key).DedupKey == e.DedupKey || pagerEventOf(elsewhere, key).DedupKey == e.DedupKey {
		t.Error("two problems are one incident")
	}
}

// What a service answers, and what becomes of it.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		code    int
		header  string // of Retry-After
		body    string
		want    string
		after   time.Duration
		lasting bool
	}{
		"accepted":       {code: 202},
		"nothing to say": {code: 204},
		"down":           {code: 500, want: "the service answers 500 Internal Server Error"},
		"says why":       {code: 503, body: "being moved", want: "the service answers 503 Service Unavailable"},
		"busy":           {code: 429, header: "30", want: "the service answers 429 Too Many Requests", after: 30 * time.Second},
		"busy, a date":   {code: 503, header: "Fri, 31 Dec 1999 23:59:59 GMT", want: "the service answers 503 Service Unavailable"},
		"busy, nonsense": {code: 503, header: "-5", want: "the service answers 503 Service Unavailable"},
		"too slow":       {code: 408, want: "the service answers 408 Request Timeout"},
		"refused":        {code: 400, body: "invalid_payload", want: "the service answers 400 Bad Request", lasting: true},
		"no token":       {code: 401, want: "the service answers 401 Unauthorized; check the token, or the URL where that is the secret", lasting: true},
		"gone":           {code: 404, body: "no_team", want: "the service answers 404 Not Found; check the URL", lasting: true},
		"echoes all": {code: 403, body: "XXXXsecretXXXX T00000000 q-secret-0815 " + token + " " + key, want: "the service answers 403 Forbidden; check the token, or the URL where that is the secret",
			lasting: true},
		"unknown": {code: 299 + 300, want: "the service answers 599 "},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				w.WriteHeader(c.code)
				if c.code != http.StatusNoContent {
					_, _ = io.WriteString(w, c.body)
				}
			})
			err := PagerDuty{r.service(), is(key)}.Send(t.Context(), sample())
			var f *Failure
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "":
			case !errors.As(err, &f) || strings.TrimSpace(f.Text) != strings.TrimSpace(c.want) || f.After != c.after || f.Lasting != c.lasting:
				t.Errorf("got %v (%+v)", err, f)
			}
		})
	}
}

// What a service says is passed on where the request has no secret that it could
// repeat.
func TestAnswersWithoutSecrets(t *testing.T) {
	for body, want := range map[string]string{
		"being moved\nto another place": ": being moved",
		"<html>\n<h1>":                  "",
		"\x1b[31mno\x00\tno\x1b[0m":     ": [31mno no[0m",
		strings.Repeat("x", 99999):      ": " + strings.Repeat("x", maxText-1) + "…",
	} {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, body)
		})
		s := Service{URL: r.URL + "/hook", RootsFile: r.roots}
		if err := (Webhook{s}).Send(t.Context(), sample()); err == nil || err.Error() != "the service answers 503 Service Unavailable"+want {
			t.Errorf("%.40q: %v", body, err)
		}
		// A routing key is a secret in the body.
		if err := (PagerDuty{s, is(key)}).Send(t.Context(), sample()); err == nil || err.Error() != "the service answers 503 Service Unavailable" {
			t.Errorf("%.40q: %v", body, err)
		}
	}
}

// Something else than HTTP may repeat what it was sent, too.
func TestAnswersThatAreNotHTTP(t *testing.T) {
	for _, answer := range []string{hookPath + "\r\n\r\n", "HTTP/1.1 200 OK\r\n" + hookPath + "\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://a b" + hookPath + "\r\n\r\n", "HTTP/1.1 secret " + hookPath + "\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n"} {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		})
		clean(t, Webhook{r.service()}.Send(t.Context(), sample()))
	}
}

// A redirect would carry the token to another host.
func TestRedirectIsNotFollowed(t *testing.T) {
	elsewhere := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	for _, code := range []int{301, 302, 303, 307, 308} {
		r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL+"/there-secret", code)
		})
		err := Webhook{r.service()}.Send(t.Context(), sample())
		var f *Failure
		if !errors.As(err, &f) || !f.Lasting || !strings.HasSuffix(f.Text, "a redirect is not followed: give the URL where it leads") {
			t.Errorf("%d: %v", code, err)
		}
		clean(t, err)
	}
	if n := elsewhere.count(); n > 0 {
		t.Errorf("%d requests followed", n)
	}
}

// clean checks that an error holds no secret and is one line.
func clean(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("it went well")
		return
	}
	for _, secret := range []string{hookPath, "XXXX", "secret", "4e711", "T0000", "services", key} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q tells %q", err, secret)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is not one line", err)
	}
}

// The ways to fail before there is an answer.
func TestUnheard(t *testing.T) {
	hangs := newReceiver(t, func(_ http.ResponseWriter, req *http.Request) {
		<-req.Context().Done()
		panic(http.ErrAbortHandler) // a return would be an answer, which may win the race with the end
	})
	dribbles := newReceiver(t, func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for req.Context().Err() == nil {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}
	})
	breaks := newReceiver(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	old := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	old.TLS.MinVersion, old.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	closed := newReceiver(t, nil)
	closed.Close()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	unknown := newReceiver(t, func(http.ResponseWriter, *http.Request) {}).service()
	unknown.RootsFile = ""
	noRoots, noFile, noURL, noToken, badURL, badPort, badToken := hangs.service(), hangs.service(), hangs.service(), hangs.service(), hangs.service(), hangs.service(), hangs.service()
	noRoots.RootsFile = empty
	noFile.RootsFile = empty + ".missing"
	noURL.URLFile = secret.Func(func() ([]byte, error) { return nil, errors.New("there is no credential") })
	noToken.TokenFile = noURL.URLFile
	badURL.URLFile = is("https://exa mple" + hookPath)
	badPort.URLFile = is("https://example:XXXXsecret/")
	badToken.TokenFile = is("4e711\nsecret")
	for name, c := range map[string]struct {
		Service
		want string
	}{
		"hangs":      {hangs.service(), "no answer within "},
		"dribbles":   {dribbles.service(), "the service answers 500 Internal Server Error"},
		"breaks":     {breaks.service(), "EOF"},
		"closed":     {closed.service(), "connection refused"},
		"old TLS":    {old.service(), "tls: "},
		"unknown":    {unknown, "x509: certificate signed by unknown authority"},
		"no roots":   {noRoots, "there is no certificate in "},
		"no file":    {noFile, "no such file"},
		"no URL":     {noURL, "there is no credential"},
		"no token":   {noToken, "there is no credential"},
		"bad URL":    {badURL, "not the URL of a web service"},
		"bad port":   {badPort, "not the URL of a web service"},
		"bad header": {badToken, "invalid header field value"},
	} {
		t.Run(name, func(t *testing.T) {
			limit := timeout
			if name == "hangs" {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			err := inTime(ctx, Webhook{c.Service}.Send(ctx, sample()))
			clean(t, err)
			if err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// A slow service is no failure.
func TestSlowAnswer(t *testing.T) {
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(300 * time.Millisecond)
		w.WriteHeader(http.StatusAccepted)
		_ = http.NewResponseController(w).Flush()
		<-time.After(300 * time.Millisecond)
	})
	if err := send(t.Context(), Webhook{r.service()}, sample()); err != nil {
		t.Error(err)
	}
}

// Its certificate must be good for its name.
func TestOtherName(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	s := r.service()
	s.URLFile = is(strings.Replace(r.URL, "127.0.0.1", "localhost", 1) + hookPath)
	err := Webhook{s}.Send(t.Context(), sample())
	clean(t, err)
	if r.count() > 0 || err != nil && !strings.Contains(err.Error(), "certificate is valid for") {
		t.Errorf("%v, %d requests", err, r.count())
	}
}

// The heartbeat is a GET, without a body.
func TestHeartbeatFetches(t *testing.T) {
	r := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	s := r.service()
	s.TokenFile = secret.Secret{}
	h := Heartbeat{Service: s}
	if err := h.fetch(t.Context(), "1.2.3"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(r.got, r.body, r.head[0]["Content-Type"], r.head[0]["Authorization"]); got != "[GET "+hookPath+"?key=q-secret-0815] [] [] []" {
		t.Errorf("got %s", got)
	}
	r.Close()
	clean(t, h.fetch(t.Context(), "1.2.3"))
}
