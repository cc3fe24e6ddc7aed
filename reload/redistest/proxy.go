package redistest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// ProxyOptions say where a Proxy listens and what it does with what it hears.
type ProxyOptions struct {
	// Upstream is where commands go: "unix:/path" or "host:port", plaintext.
	// UpstreamTLS, if set, is used for the latter. Empty: there is no server,
	// and Handle answers everything.
	Upstream    string
	UpstreamTLS *tls.Config

	// TLS makes the proxy speak TLS to its clients, with this configuration.
	TLS *tls.Config

	// Unix makes it listen on a unix socket, not on a loopback port.
	Unix bool

	// Handle answers a command in the server's place: reply is raw RESP, such
	// as "+OK\r\n". With ok false the command goes upstream. An empty reply
	// with ok true closes the connection.
	Handle func(command []string) (reply string, ok bool)
}

// Proxy stands between a client and a redis-server, one command at a time.
type Proxy struct {
	Addr   string // host:port; empty on a unix socket
	Socket string // path; empty on a port

	opts     ProxyOptions
	listener net.Listener
	wg       sync.WaitGroup

	mu       sync.Mutex
	commands [][]string
	conns    map[net.Conn]bool
	closed   bool
}

// LyingOK answers OK to every CONFIG SET and passes none on.
func LyingOK(command []string) (string, bool) {
	if len(command) > 1 && strings.EqualFold(command[0], "config") && strings.EqualFold(command[1], "set") {
		return "+OK\r\n", true
	}
	return "", false
}

// StartProxy starts a proxy that ends with the test.
func StartProxy(t testing.TB, o ProxyOptions) *Proxy {
	t.Helper()
	p := &Proxy{opts: o, conns: map[net.Conn]bool{}}
	network, addr := "tcp", "127.0.0.1:0"
	if o.Unix {
		dir, err := os.MkdirTemp("", "redistest") // short enough for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		network, addr = "unix", filepath.Join(dir, "proxy.sock")
		p.Socket = addr
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Unix {
		p.Addr = l.Addr().String()
	}
	p.listener = l
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(p.Close)
	return p
}

// Close ends the proxy and every connection through it.
func (p *Proxy) Close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// Commands is every command heard so far, answered or passed on.
func (p *Proxy) Commands() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([][]string(nil), p.commands...)
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Add(1)
		go func() {
			defer p.wg.Done()
			if !p.hold(conn) {
				return
			}
			defer p.release(conn)
			p.serve(conn)
		}()
	}
}

// hold notes conn, so that Close can end it; false when Close was there first.
func (p *Proxy) hold(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		conn.Close()
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) release(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	conn.Close()
}

// serve ends when either side does. What went wrong is for the client to tell.
func (p *Proxy) serve(conn net.Conn) {
	client := conn
	if p.opts.TLS != nil {
		tc := tls.Server(conn, p.opts.TLS)
		if tc.Handshake() != nil {
			return
		}
		client = tc
	}
	var upstream net.Conn
	var answers *bufio.Reader
	if p.opts.Upstream != "" {
		var err error
		if upstream, err = p.dial(); err != nil || !p.hold(upstream) {
			return
		}
		defer p.release(upstream)
		answers = bufio.NewReader(upstream)
	}
	requests := bufio.NewReader(client)
	for {
		command, raw, err := readCommand(requests)
		if err != nil {
			return
		}
		reply, err := p.answer(command, raw, upstream, answers)
		if err != nil || reply == "" {
			return
		}
		if _, err := io.WriteString(client, reply); err != nil {
			return
		}
	}
}

func (p *Proxy) answer(command []string, raw string, upstream net.Conn, answers *bufio.Reader) (string, error) {
	p.mu.Lock()
	p.commands = append(p.commands, command)
	p.mu.Unlock()
	if p.opts.Handle != nil {
		if reply, ok := p.opts.Handle(command); ok {
			return reply, nil
		}
	}
	if upstream == nil {
		return "-ERR nobody answers this\r\n", nil
	}
	if _, err := io.WriteString(upstream, raw); err != nil {
		return "", err
	}
	return readReply(answers)
}

func (p *Proxy) dial() (net.Conn, error) {
	if path, ok := strings.CutPrefix(p.opts.Upstream, "unix:"); ok {
		return net.Dial("unix", path)
	}
	if p.opts.UpstreamTLS != nil {
		return tls.Dial("tcp", p.opts.Upstream, p.opts.UpstreamTLS)
	}
	return net.Dial("tcp", p.opts.Upstream)
}

// readCommand reads one request: an array of bulk strings, as every client
// library sends it. raw is the request as it came.
func readCommand(r *bufio.Reader) (command []string, raw string, err error) {
	head, err := r.ReadString('\n')
	if err != nil {
		return nil, "", err
	}
	n, err := length(head, '*')
	if err != nil {
		return nil, "", err
	}
	var b strings.Builder
	b.WriteString(head)
	for range n {
		bulk, err := readReply(r)
		if err != nil {
			return nil, "", err
		}
		b.WriteString(bulk)
		_, word, _ := strings.Cut(bulk, "\r\n")
		command = append(command, strings.TrimSuffix(word, "\r\n"))
	}
	return command, b.String(), nil
}

// readReply reads one RESP2 value and returns it as it came.
func readReply(r *bufio.Reader) (string, error) {
	head, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	switch head[0] {
	case '$':
		n, err := length(head, '$')
		if err != nil || n < 0 {
			return head, err
		}
		body := make([]byte, n+2)
		_, err = io.ReadFull(r, body)
		return head + string(body), err
	case '*':
		n, err := length(head, '*')
		for i := 0; err == nil && i < n; i++ {
			var item string
			item, err = readReply(r)
			head += item
		}
		return head, err
	}
	return head, nil
}

func length(head string, kind byte) (int, error) {
	if head[0] != kind {
		return 0, fmt.Errorf("redistest: %q where %q was expected", head, kind)
	}
	return strconv.Atoi(strings.TrimRight(head[1:], "\r\n"))
}
