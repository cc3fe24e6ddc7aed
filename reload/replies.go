package reload

import (
	"net"
	"strconv"
)

// What the replies of one session may cost. INFO server, the largest of them, has
// two kilobytes, and a CONFIG GET two elements.
const (
	maxReplies  = 256 << 10 // bytes of all replies of a session, announced or sent
	maxElements = 1024      // of an array
)

// replies is a connection whose peer's bytes are held against RESP2 before the
// client library reads them. The library allocates whatever length a reply announces
// and parses nested arrays by recursion, so that a few bytes of whoever listens there
// could end the process. Only what the commands of this package are answered by
// passes: a line, a bulk string, or an array of these.
type replies struct {
	net.Conn
	read  int    // bytes so far, those that a bulk string announced included
	head  []byte // the line that has begun, as far as it is looked at
	bulk  int    // bytes of a bulk string that are still to come
	items []int  // elements that are still to come of each array that has begun, the outermost first
	depth int    // how many arrays may lie in each other
	fault error  // what ended the session; it stays
}

// maxHead is how much of a line is looked at: its type and the longest number.
const maxHead = 24

func newReplies(conn net.Conn) *replies {
	return &replies{Conn: conn, head: make([]byte, 0, maxHead), depth: 1}
}

// Read returns what passed, and with it the fault of the first byte that did not.
func (r *replies) Read(p []byte) (int, error) {
	if r.fault != nil {
		return 0, r.fault
	}
	n, err := r.Conn.Read(p)
	for i := 0; i < n; {
		if r.bulk > 0 {
			skip := min(r.bulk, n-i)
			r.bulk -= skip
			i += skip
			continue
		}
		if r.fault = r.next(p[i]); r.fault != nil {
			return i, r.fault
		}
		i++
	}
	return n, err
}

// next takes one byte of a line.
func (r *replies) next(b byte) error {
	if len(r.head) < maxHead {
		r.head = append(r.head, b)
	}
	if err := r.charge(1); err != nil {
		return err
	}
	switch r.head[0] {
	case '+', '-', ':', '$':
	case '*':
		if len(r.items) >= r.depth {
			return notAReply("an array in an array")
		}
	default:
		return notAReply("a reply that begins with %q", r.head[0])
	}
	if b != '\n' {
		return nil
	}
	head := string(r.head)
	r.head = r.head[:0]
	return r.begin(head)
}

// begin looks at a line that is complete: how much comes after it.
func (r *replies) begin(head string) error {
	if top := len(r.items) - 1; top >= 0 {
		r.items[top]--
	}
	kind, n := head[0], -1 // what has no length ends with its line, as a null does
	if kind == '$' || kind == '*' {
		var err error
		if n, err = announced(head); err != nil {
			return err
		}
	}
	if kind == '*' && n > 0 && n <= maxElements {
		r.items = append(r.items, n)
		return nil
	}
	for top := len(r.items) - 1; top >= 0 && r.items[top] == 0; top-- {
		r.items = r.items[:top]
	}
	switch {
	case n < 0:
		return nil
	case kind == '$':
		if err := r.charge(n); err != nil {
			return err
		}
		r.bulk = n + len("\r\n")
	case n > maxElements:
		return notAReply("an array of %d elements, of at most %d", n, maxElements)
	}
	return nil
}

// announced is the number of a line like $12, which ends with CRLF; -1 is null.
func announced(head string) (int, error) {
	digits, ended := head[1:], len(head) > 3 && head[len(head)-2:] == "\r\n"
	if ended {
		digits = digits[:len(digits)-2]
	}
	n, err := strconv.Atoi(digits)
	if !ended || err != nil || n < -1 {
		return 0, notAReply("the length %q", head)
	}
	return n, nil
}

// charge counts bytes that the peer sent or announced.
func (r *replies) charge(n int) error {
	if n > maxReplies-r.read {
		return notAReply("replies of more than %d bytes", maxReplies)
	}
	r.read += n
	return nil
}

func notAReply(format string, args ...any) error {
	return newFault(errNotRESP, nil, "it sends "+format+", which no redis-server does", args...)
}
