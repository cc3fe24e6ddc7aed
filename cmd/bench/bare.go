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

	"redis-cert-agent/cmd/internal/testbed"
)

// bare does the parts of a rotation with nothing around them, as the shortest
// program would: no configuration, no gate, no look before and after.
type bare struct {
	bed     *testbed.Testbed
	host    *host
	address string          // of the redis-server
	current tls.Certificate // its client certificate at the CA
	files   map[string][]byte
	n       int
}

// newBare shows the CA the certificate that the agent had at the beginning, which
// stays good for a rekey.
func (b *bench) newBare(h *host) (*bare, error) {
	x := &bare{bed: b.Testbed, host: h, address: h.Address, files: map[string][]byte{}}
	var err error
	for _, name := range []string{"redis.crt", "redis.key", "ca.crt", "origin.json"} {
		if x.files[name], err = os.ReadFile(h.Path("pair/current/" + name)); err != nil {
			return nil, err
		}
	}
	if x.current, err = tls.X509KeyPair(x.files["redis.crt"], x.files["redis.key"]); err != nil {
		return nil, err
	}
	return x, os.MkdirAll(h.Path("bare/generations"), 0o750)
}

// rekey makes a key and a request, and one HTTPS round trip to the CA.
func (x *bare) rekey(context.Context) error {
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
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x.bed.Roots, Certificates: []tls.Certificate{x.current}}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Post(x.bed.URL+"/1.0/rekey", "application/json", bytes.NewReader(body))
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
	d := tls.Dialer{Config: x.host.TLS()}
	return d.DialContext(ctx, "tcp", x.address)
}

// configSet makes redis read its files again, over a connection of its own.
func (x *bare) configSet(ctx context.Context) error {
	c, err := x.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	for _, command := range []string{
		fmt.Sprintf("AUTH %q", testbed.Password),
		fmt.Sprintf("CONFIG SET tls-cert-file %q", x.host.Path("pair/current/redis.crt")),
	} {
		if _, err := io.WriteString(c, command+"\r\n"); err != nil {
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
	top := x.host.Path("bare")
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
