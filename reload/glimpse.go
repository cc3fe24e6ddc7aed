package reload

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"redis-cert-agent/agent/cert"
)

// ErrUnable says that this program cannot make the handshake, which clients with OpenSSL
// may: it does not know the certificate's kind, or has none of the server's ciphers. It
// tells nothing of the certificate.
var ErrUnable = errors.New("this program cannot make the handshake")

// beyond says whether err, of crypto/tls, may be about what crypto/tls does not know. It
// has no type for any of these.
func beyond(err error) bool {
	for _, text := range []string{"failed to parse certificate from server", "unsupported type of public key", "containing RSA key larger than", "unsupported certificate key"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return alert(err) == "handshake failure"
}

// unable is the error of a handshake that this program cannot make with a server that
// shows leaf.
func unable(to route, leaf *x509.Certificate, err error) error {
	if why := cert.Unread(leaf); why != nil {
		err = why
	}
	return newFault(ErrUnable, err, "this program cannot make a TLS handshake with %s, which shows %s (%v), and clients with OpenSSL may", to.addr, describe(leaf), err).
		withHint("where the agent is to log in there, set control: unix:/path; else give redis a certificate and tls-ciphers that Go knows")
}

// glimpse returns the certificates that a server shows to a client that offers what
// OpenSSL offers in TLS 1.2 (RFC 5246, section 7.4): there they are sent in the clear. It ends when the
// server has made use of its key, and sends nothing but the first message. The error is
// that nothing was shown, whatever the reason.
func (r *Redis) glimpse(ctx context.Context, to route) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, r.server.Timeout)
	defer cancel()
	conn, err := r.connect(ctx, to)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Write(clientHello()); err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for m := (messages{from: conn}); ; {
		kind, body, err := m.next()
		switch {
		case err != nil:
			return nil, err
		case kind == messageCertificate:
			if chain, err = certificates(body); err != nil {
				return nil, err
			}
		case kind == messageHelloDone && chain != nil:
			return chain, nil
		case kind == messageHelloDone:
			return nil, errors.New("it shows no certificate")
		}
	}
}

const (
	recordHandshake    = 22
	messageCertificate = 11
	messageHelloDone   = 14
)

// clientHello is a first message that offers what OpenSSL does by default.
func clientHello() []byte {
	list := func(size int, values ...uint16) []byte { // of 16-bit values, behind its length in bytes
		var b []byte
		for _, v := range values {
			b = binary.BigEndian.AppendUint16(b, v)
		}
		return sized(size, b)
	}
	extension := func(id uint16, body []byte) []byte {
		return append(binary.BigEndian.AppendUint16(nil, id), sized(2, body)...)
	}
	const renegotiation = 0x00ff // TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746)
	hello := []byte{3, 3}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // it never fails
	hello = append(append(hello, random...), 0)
	hello = append(hello, list(2, 0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca9, 0xcca8, 0x009e, 0x009f, 0xccaa, 0xc023, 0xc024, 0xc027, 0xc028,
		0xc0ac, 0xc0ad, 0xc009, 0xc00a, 0xc013, 0xc014, 0x0067, 0x006b, 0x0033, 0x0039, 0x009c, 0x009d, 0x003c, 0x003d, 0x002f, 0x0035, renegotiation)...)
	hello = append(hello, 1, 0)
	extensions := extension(10, list(2, 29, 23, 30, 25, 24))        // groups: those of OpenSSL's default
	extensions = append(extensions, extension(11, []byte{1, 0})...) // points in full
	extensions = append(extensions, extension(13, list(2, 0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x081a, 0x081b, 0x081c,
		0x0809, 0x080a, 0x080b, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601))...) // signatures, with RSA-PSS keys
	hello = append(hello, sized(2, extensions)...)
	message := append([]byte{1}, sized(3, hello)...)
	return append([]byte{recordHandshake, 3, 1}, sized(2, message)...)
}

// sized puts the length of body, of that many bytes, before it.
func sized(size int, body []byte) []byte {
	n := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	return append(n[4-size:], body...)
}

// messages reads the messages of a handshake out of its records.
type messages struct {
	from io.Reader
	data []byte
}

// maxHandshake bounds what a server may send before its first message ends.
const maxHandshake = 1 << 18

func (m *messages) next() (kind byte, body []byte, err error) {
	for {
		if len(m.data) >= 4 {
			n := int(m.data[1])<<16 | int(m.data[2])<<8 | int(m.data[3])
			if len(m.data) >= 4+n {
				kind, body, m.data = m.data[0], m.data[4:4+n], m.data[4+n:]
				return kind, body, nil
			}
		}
		var head [5]byte
		if _, err := io.ReadFull(m.from, head[:]); err != nil {
			return 0, nil, err
		}
		if head[0] != recordHandshake {
			return 0, nil, fmt.Errorf("a record of type %d instead of its handshake", head[0])
		}
		record := make([]byte, binary.BigEndian.Uint16(head[3:]))
		if _, err := io.ReadFull(m.from, record); err != nil {
			return 0, nil, err
		}
		if m.data = append(m.data, record...); len(m.data) > maxHandshake {
			return 0, nil, errors.New("its handshake is too long")
		}
	}
}

// certificates takes a Certificate message apart.
func certificates(body []byte) ([]*x509.Certificate, error) {
	broken := errors.New("its Certificate message is broken")
	if len(body) < 3 {
		return nil, broken
	}
	var chain []*x509.Certificate
	for rest := body[3:]; len(rest) > 0; {
		if len(rest) < 3 {
			return nil, broken
		}
		n := int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2])
		if len(rest) < 3+n {
			return nil, broken
		}
		c := cert.FromDER(rest[3 : 3+n])
		if c == nil {
			return nil, broken
		}
		chain, rest = append(chain, c), rest[3+n:]
	}
	if chain == nil {
		return nil, broken
	}
	return chain, nil
}
