package reload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/reload"
)

// speaker is what listens at a control port and says the same to everybody.
type speaker struct {
	server reload.Server
	words  chan string // of the next connection
}

func speak(t testing.TB) *speaker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &speaker{words: make(chan string, 1)}
	s.server = reload.Server{Address: l.Addr().String(), Control: "plain:" + l.Addr().String(), Password: says("secret"), Timeout: 10 * time.Second}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, <-s.words); err == nil {
				_ = conn.(*net.TCPConn).CloseWrite() // the client may be gone
			}
			_, _ = io.Copy(io.Discard, conn) // a reset would take away what was said
			conn.Close()
		}
	}()
	return s
}

// costs returns what f allocates in bytes.
func costs(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// affordable is far more than a session costs, and far less than what was seen
// without a bound, 300 MB and more.
const affordable = 8 << 20

// A well-behaved server's answers to AUTH and to the questions of a reload.
const welcome = "+OK\r\n"

var known = knows("7.2.4")

func knows(version string) string {
	said := "$21\r\nredis_version:" + version + "\r\n\r\n"
	for _, p := range reload.Parameters {
		value := map[string]string{"dir": "/", "tls-cert-file": "/r.crt"}[p]
		said += fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(p), p, len(value), value)
	}
	return said
}

// Whoever listens at a control port can send anything. It costs a bounded amount,
// and ends in an error that says so.
func TestHostileReplies(t *testing.T) {
	s := speak(t)
	r := reload.New(s.server)
	for name, words := range map[string]string{
		"the longest string":          "$9223372036854775805\r\n",
		"the longest array":           "*9223372036854775807\r\n",
		"half a gigabyte":             "$536870912\r\n",
		"many elements":               "*20000000\r\n",
		"arrays in arrays":            strings.Repeat("*1\r\n", 1<<20),
		"a line without an end":       "+" + strings.Repeat("x", 16<<20),
		"a number without an end":     "$" + strings.Repeat("0", 16<<20),
		"a large INFO":                welcome + "*2\r\n$1\r\na\r\n$1\r\nb\r\n$8000000\r\n" + strings.Repeat("redis_version:7\r\n", 500_000),
		"many large strings":          welcome + "*1024\r\n" + strings.Repeat("$200000\r\n"+strings.Repeat("x", 200_000)+"\r\n", 40),
		"a map of RESP3":              "%9223372036854775807\r\n",
		"an attribute of RESP3":       "|1000000000\r\n",
		"a string of RESP3":           "=9223372036854775805\r\n",
		"an error of RESP3":           "!9223372036854775805\r\n",
		"a negative length":           "$-9223372036854775808\r\n",
		"a length without a number":   "*\r\n",
		"HTTP":                        "HTTP/1.1 400 Bad Request\r\n\r\n",
		"a TLS alert":                 "\x15\x03\x03\x00\x02\x02\x46",
		"the answer to CONFIG SET":    welcome + known + "$9223372036854775805\r\n",
		"an array in the second word": welcome + "*2\r\n$13\r\ntls-cert-file\r\n*9223372036854775807\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			calls := map[string]func() error{
				"reload":   func() error { return reloaded(r, t.Context(), reload.Trust{}) },
				"settings": func() error { _, err := r.Settings(t.Context(), reload.Trust{}); return err },
			}
			if name == "the answer to CONFIG SET" {
				delete(calls, "settings") // which does not get that far
			}
			for what, call := range calls {
				s.words <- words
				var err error
				if cost := costs(func() { err = call() }); cost > affordable+uint64(len(words)) {
					t.Errorf("%s allocates %d bytes", what, cost)
				}
				fails(t, err, reload.ErrUnreachable)
				if len(err.Error()) > 600 || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %v", what, err)
				}
				if name == "the answer to CONFIG SET" && !errors.Is(err, reload.ErrUncertain) {
					t.Errorf("redis was told to read its files, and the error does not say so: %v", err)
				}
			}
		})
	}
}

// FuzzSession holds a whole session against whatever a peer says.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"", welcome, welcome + known, welcome + known + welcome,
		"-NOAUTH Authentication required.\r\n", welcome + "*0\r\n$0\r\n\r\n", welcome + "*-1\r\n$-1\r\n",
		welcome + knows("7.0.0") + "*2\r\n$1\r\na\r\n$3\r\n300\r\n" + welcome + welcome,
		welcome + known + "-ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - Unable to update TLS configuration.\r\n",
		"$9223372036854775805\r\n", "*9223372036854775807\r\n", "*1024\r\n*1024\r\n", "%1\r\n", ":1\r\n", "*1\r\n:5\r\n", "$5\r\nhello", "*1\n",
	} {
		f.Add(seed)
	}
	s := speak(f)
	r := reload.New(s.server)
	f.Fuzz(func(t *testing.T, words string) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for _, call := range []func() error{
			func() error { return reloaded(r, ctx, reload.Trust{}) },
			func() error { _, err := r.Settings(ctx, reload.Trust{}); return err },
		} {
			s.words <- words
			var err error
			if cost := costs(func() { err = call() }); cost > affordable {
				t.Errorf("%q allocates %d bytes", words, cost)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\r\n\x1b") {
				t.Errorf("%q: more than one line: %q", words, err)
			}
			if ctx.Err() != nil {
				t.Errorf("%q: it did not end", words)
			}
		}
	})
}
