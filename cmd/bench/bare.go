package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// Bare does the parts of a rotation with nothing around them, as the shortest
// program would: no configuration, no gate, no look before and after.
type bare struct {
	h       *host
	current tls.Certificate // by which the CA knows us
	files   map[string][]byte
	n       int
}

// newBare gets a certificate of its own, so that the agent's is not touched.
func newBare(ctx context.Context, h *host) (*bare, error) {
	p, err := h.b.issue(ctx)
	if err != nil {
		return nil, err
	}
	x := &bare{h: h, current: p.TLS(), files: map[string][]byte{}}
	for _, name := range []string{"redis.crt", "redis.key", "ca.crt", "origin.json"} {
		if x.files[name], err = os.ReadFile(h.path("pair/current/" + name)); err != nil {
			return nil, err
		}
	}
	return x, os.MkdirAll(h.path("bare/generations"), 0o750)
}

// rekey makes a key and a request, and one HTTPS round trip to the CA.
func (x *bare) rekey(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, key)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x.h.b.roots, Certificates: []tls.Certificate{x.current}}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.h.b.caURL+"/1.0/rekey", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ Crt string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(answer.Crt))
	if resp.StatusCode != http.StatusCreated || block == nil {
		return fmt.Errorf("bare rekey: the CA answers %s", resp.Status)
	}
	_, err = x509.ParseCertificate(block.Bytes)
	return err
}

// handshake makes a verified TLS connection and closes it.
func (x *bare) handshake(ctx context.Context) error {
	c, err := x.dial(ctx)
	if err != nil {
		return err
	}
	return c.Close()
}

func (x *bare) dial(ctx context.Context) (net.Conn, error) {
	d := tls.Dialer{Config: x.h.tls()}
	return d.DialContext(ctx, "tcp", x.h.address)
}

// configSet makes redis read its files again, over a connection of its own.
func (x *bare) configSet(ctx context.Context) error {
	c, err := x.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	for _, words := range [][]string{
		{"AUTH", password},
		{"CONFIG", "SET", "tls-cert-file", x.h.path("pair/current/redis.crt")},
	} {
		var b strings.Builder
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
		if _, err := io.WriteString(c, b.String()); err != nil {
			return err
		}
		line, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, "+OK") {
			return errors.New("redis says " + strings.TrimSpace(line))
		}
	}
	return nil
}

// write puts the files of a pair on disk as the agent does, each synced, and
// switches a link: the files, their directory, the directory of generations,
// and the link's directory.
func (x *bare) write(context.Context) error {
	x.n++
	top := x.h.path("bare")
	tmp, dir := filepath.Join(top, "generations", ".tmp"), filepath.Join(top, "generations", fmt.Sprint(x.n))
	if err := os.Mkdir(tmp, 0o750); err != nil {
		return err
	}
	for name, text := range x.files {
		f, err := os.OpenFile(filepath.Join(tmp, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	link := filepath.Join(top, ".link")
	return errors.Join(
		syncDir(tmp), os.Rename(tmp, dir), syncDir(filepath.Dir(dir)),
		os.Symlink(dir, link), os.Rename(link, filepath.Join(top, "current")), syncDir(top),
	)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
