package authority

import (
	"net"
	"net/http"
	"sync"
)

// idleConns knows the connections on which no request is under way.
//
// http.Server.Shutdown closes such connections at once, but not those that
// speak HTTP/2: it tells their clients to go away and waits a second for that.
// Close would hardly ever take less.
type idleConns struct {
	mu   sync.Mutex
	idle map[net.Conn]struct{}
}

// track is a http.Server.ConnState.
func (c *idleConns) track(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateIdle {
		delete(c.idle, conn)
		return
	}
	if c.idle == nil {
		c.idle = map[net.Conn]struct{}{}
	}
	c.idle[conn] = struct{}{}
}

// close closes the connections that are idle now.
func (c *idleConns) close() {
	c.mu.Lock()
	idle := c.idle
	c.idle = nil
	c.mu.Unlock()
	for conn := range idle {
		conn.Close() // its client may have gone first
	}
}
