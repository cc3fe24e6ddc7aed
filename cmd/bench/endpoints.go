package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"redis-cert-agent/agent/check"
)

// endpoints is a check of many servers, and as many bare handshakes.
type endpoints struct {
	Number      int
	Check, Bare usage
}

// usage is what a process took.
type usage struct {
	Wall, CPU time.Duration
	RSS       int64 // at most, in KiB
}

// measureEndpoints lets the agent's check and the bare client, each a process of its
// own, look at the same servers, in turns.
func (b *bench) measureEndpoints(ctx context.Context) (r endpoints, err error) {
	r.Number = b.opts.endpoints
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	say("a check of %d endpoints, twice, and as many bare handshakes", r.Number)
	root, list := b.Path("endpoints.crt"), b.Path("endpoints")
	listener, err := b.Start("endpoints.log", nil, self, "-serve", fmt.Sprint(r.Number), "-root", root, "-targets", list)
	if err != nil {
		return r, err
	}
	defer listener.Stop(syscall.SIGTERM)
	if err := listener.Until(ctx, func() bool { _, err := os.Stat(list); return err == nil }); err != nil {
		return r, err
	}
	var checks, bares []usage
	for range 2 {
		c, err := measureProcess(ctx, b.Agent, "check", "--ca", root, "--targets", list)
		if err != nil {
			return r, err
		}
		bare, err := measureProcess(ctx, self, "-shake", "-root", root, "-targets", list)
		if err != nil {
			return r, err
		}
		checks, bares = append(checks, c), append(bares, bare)
	}
	r.Check, r.Bare = quicker(checks), quicker(bares)
	return r, nil
}

func quicker(of []usage) usage {
	if of[0].Wall < of[1].Wall {
		return of[0]
	}
	return of[1]
}

// measureProcess runs a program to its end, which has to be a success.
func measureProcess(ctx context.Context, name string, args ...string) (u usage, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var said strings.Builder
	cmd.Stderr = &said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return u, err
	}
	most := make(chan int64)
	ended := make(chan struct{})
	go func() { most <- mostResident(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	u.Wall = time.Since(start)
	close(ended)
	u.RSS = <-most
	if err != nil {
		return u, fmt.Errorf("%s: %w: %s", name, err, said.String())
	}
	u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return u, nil
}

// mostResident returns what a process had in memory at most, in KiB, until shortly before
// it ended. The figure that wait4(2) gives is of no use here: a process inherits that of
// the one that started it (getrusage(2)).
func mostResident(pid int, ended <-chan struct{}) (most int64) {
	for each := time.Tick(5 * time.Millisecond); ; {
		select {
		case <-ended:
			return most
		case <-each:
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has ended
		}
		if n, err := statusField(string(status), "VmHWM"); err == nil {
			most = max(most, n)
		}
	}
}

// serveEndpoints listens at one port of as many loopback addresses as there are to be
// endpoints. Each shows a certificate of its own. When all can be reached their
// addresses are written to the file list, one a line.
func serveEndpoints(number int, root, list string) error {
	a, err := newAuthority()
	if err != nil {
		return err
	}
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root}), 0o600); err != nil {
		return err
	}
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return err
	}
	shown := map[string]*tls.Certificate{}
	var targets strings.Builder
	for n := range number {
		ip := net.IPv4(127, 1, byte(n>>8), byte(n))
		if shown[ip.String()], err = a.issue(ip); err != nil {
			return err
		}
		fmt.Fprintf(&targets, "%s:%d\n", ip, l.Addr().(*net.TCPAddr).Port)
	}
	if err := os.WriteFile(list+".new", []byte(targets.String()), 0o600); err != nil {
		return err
	}
	if err := os.Rename(list+".new", list); err != nil {
		return err
	}
	conf := &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return shown[h.Conn.LocalAddr().(*net.TCPAddr).IP.String()], nil
	}}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(io.Discard, tls.Server(c, conf)) // until the client goes
		}()
	}
}

// shakeHands makes one verified handshake with each of the addresses in the file list,
// as many at once as a check makes.
func shakeHands(root, list string) error {
	text, err := os.ReadFile(root)
	if err != nil {
		return err
	}
	conf := &tls.Config{RootCAs: x509.NewCertPool()}
	conf.RootCAs.AppendCertsFromPEM(text)
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer f.Close()
	addresses := make(chan string)
	var failed atomic.Pointer[error]
	var workers sync.WaitGroup
	for range check.Parallel {
		workers.Go(func() {
			for address := range addresses {
				c, err := (&tls.Dialer{Config: conf}).Dial("tcp", address)
				if err != nil {
					failed.Store(&err)
					continue
				}
				c.Close()
			}
		})
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		addresses <- lines.Text()
	}
	close(addresses)
	workers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return lines.Err()
}

// An authority is a root and an intermediate, which both outlive what they issue.
type authority struct {
	root   []byte
	middle *x509.Certificate
	key    crypto.Signer
	serial int64
}

func newAuthority() (*authority, error) {
	now := time.Now()
	ca := func(name string, serial int64, years int) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(years, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	root := ca("Bench Root", 1, 10)
	der, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	if root, err = x509.ParseCertificate(der); err != nil { // with its key identifier
		return nil, err
	}
	middle, err := x509.CreateCertificate(rand.Reader, ca("Bench CA", 2, 5), root, key.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	a := &authority{root: der, key: key, serial: 2}
	a.middle, err = x509.ParseCertificate(middle)
	return a, err
}

// issue returns a certificate of ninety days for an address.
func (a *authority) issue(ip net.IP) (*tls.Certificate, error) {
	a.serial++
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: ip.String()}, IPAddresses: []net.IP{ip},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.middle, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.middle.Raw}, PrivateKey: key}, nil
}
