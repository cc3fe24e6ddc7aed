package check

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/disk"
	"redis-cert-agent/reload"
)

// A Target is what to look at, and what is wanted of it.
type Target struct {
	Kind     Kind
	Path     string        // of a File or a CA
	Text     []byte        // what Path holds, where nobody needs to read it; nil: it is read
	Key      Keys          // of a File
	Peer     reload.Server // of a Server: Address, Name, Client and Timeout count, which is not zero
	Pair     *reload.Trust // of a Server: what is presented where Peer.Client is nil; nil: nothing
	Disk     string        // of a Server: the file that it should have loaded; empty: not known
	Differs  []string      // of a Server: what it runs with and its configuration file says otherwise
	Sentinel bool          // of a Server: it reads its files only when it starts
	Links    []Link        // of a Server: to others of its kind
	Want     Want
}

// Keys says where the key of a file is and who must be able to read it.
type Keys struct {
	Path  string // empty: in the same file, if it holds one
	Group int    // the group that must be able to read it; -1: none
}

// Name is how people know the target.
func (t Target) Name() string {
	if t.Kind == Server {
		return t.Peer.Address
	}
	return t.Path
}

// look finds out all that Judge needs.
func (t Target) look(ctx context.Context) Found {
	if t.Kind == Server {
		return t.probe(ctx)
	}
	return t.read()
}

// grace is what a probe may take beyond its timeout, to find out whether a
// server that did not answer a handshake is a plaintext port.
const grace = time.Second

func (t Target) probe(ctx context.Context) Found {
	within, cancel := context.WithTimeout(ctx, t.Peer.Timeout+grace)
	defer cancel()
	var trust reload.Trust
	if t.Pair != nil {
		trust = *t.Pair
	}
	f := Found{Target: t.Name(), Kind: Server, Differs: t.Differs, Sentinel: t.Sentinel}
	f.Links = make([]Tried, len(t.Links))
	var trying sync.WaitGroup
	for i, l := range t.Links {
		trying.Go(func() { f.Links[i] = l.try(ctx) })
	}
	defer trying.Wait()
	f.Probe, f.Err = reload.New(t.Peer).Probe(within, trust)
	f.Chain = f.Probe.Chain
	f.Err = explain(f.Err, t.Peer.Timeout)
	if t.Disk != "" {
		if file, err := readFile(t.Disk); err == nil {
			f.OnDisk, _ = cert.ParseChain(file.text) // the file is a target of its own, which says what is wrong with it
		}
	}
	return f
}

// explain says in plain words what failed before Redis was reached.
func explain(err error, timeout time.Duration) error {
	var unknown *net.DNSError
	var late net.Error
	switch {
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return fmt.Errorf("there is no host %s: check the name", unknown.Name)
	case errors.Is(err, context.DeadlineExceeded), isConnect(err) && errors.As(err, &late) && late.Timeout():
		return fmt.Errorf("no answer within %s: the host is down, a firewall drops what is sent, or redis-server is stuck", timeout)
	}
	return err
}

func isConnect(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (t Target) read() Found {
	file, err := content{text: t.Text, gid: -1}, error(nil)
	if t.Text == nil {
		file, err = readFile(t.Path)
	}
	if err != nil {
		return Found{Target: t.Path, Kind: t.Kind, Err: err}
	}
	f := t.parse(file)
	if t.Kind == File && t.Key.Path != "" {
		f.Key = readKey(t.Key)
	}
	return f
}

// parse takes apart what a file holds: its certificates, and a key where nobody
// named another.
func (t Target) parse(file content) Found {
	f := Found{Target: t.Path, Kind: t.Kind}
	if t.Kind == File {
		f.Chain, f.Err = cert.ParseChain(file.text)
	} else {
		f.Chain, f.Err = cert.ParseCertificates(file.text)
	}
	f.Unread = cert.UnreadIn(file.text)
	switch {
	case t.Kind != File || t.Key.Path != "":
	case bytes.Contains(file.text, []byte("PRIVATE KEY-----")):
		f.Key = newKey(Keys{Path: t.Path, Group: t.Key.Group}, file)
	case authorities(f.Chain):
		f.Kind = CA
		f.Chain, f.Err = cert.ParseCertificates(file.text)
	}
	return f
}

// authorities says whether certs are CA certificates, each for itself. A
// certificate with names is for a server, also when, like what openssl req -x509
// makes, it calls itself a CA.
func authorities(certs []*x509.Certificate) bool {
	certs = slices.DeleteFunc(slices.Clone(certs), func(c *x509.Certificate) bool { return cert.Unread(c) != nil })
	return len(certs) > 0 && !slices.ContainsFunc(certs, func(c *x509.Certificate) bool {
		return !c.IsCA || len(c.DNSNames)+len(c.IPAddresses) > 0
	})
}

func readKey(k Keys) *Key {
	file, err := readFile(k.Path)
	if err != nil {
		return &Key{Path: k.Path, Err: err, WantGroup: -1}
	}
	return newKey(k, file)
}

func newKey(k Keys, file content) *Key {
	found := &Key{Path: k.Path, Mode: file.mode, GID: file.gid, WantGroup: k.Group}
	key, err := cert.ParseKey(file.text)
	if err != nil {
		found.Err = err
		return found
	}
	found.Public = key.Public()
	return found
}

// content is what a file holds, and who may read it.
type content struct {
	text []byte
	mode fs.FileMode
	gid  int
}

// largest bounds a PEM file.
const largest = 4 << 20

// readFile reads a file that may be anything: a pipe is not waited for.
func readFile(path string) (content, error) {
	text, info, err := disk.ReadInTime(path, largest)
	switch {
	case errors.Is(err, disk.ErrTooLarge):
		err = fmt.Errorf("it is larger than %d bytes: this is no PEM file", largest)
	case errors.Is(err, disk.ErrNotRegular):
		err = errors.New("it is not a regular file: name a PEM file")
	}
	if err != nil {
		return content{}, err
	}
	c := content{text: text, mode: info.Mode(), gid: -1}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		c.gid = int(stat.Gid)
	}
	return c, nil
}
