package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload/redistest"
)

// cmdCertificate makes a pair, as another program or a person would, in DIR as
// redis.crt, redis.key and ca.crt. Times count from now.
//
//	certificate [-by ca|own|other|self] [-from -30m] [-to 24h] [-names N,N]
//	            [-usage server|client] [-key ec|rsa] [-encrypt] DIR
//	    -by ca       the authority of all scripts; own and other are of this script alone
//	    -middle 5h   by an intermediate that ends then; -bare leaves it out of redis.crt
//	    -for-key KEY writes redis.crt only, for a key that is there
func (s *host) cmdCertificate(ts *testscript.TestScript, args []string) error {
	var by, names, usage, keyFile string
	var l redistest.Leaf
	var from, to, middle time.Duration
	var encrypt, bare bool
	args, err := flags(args, func(f *flag.FlagSet) {
		f.StringVar(&by, "by", "ca", "who signs")
		f.StringVar(&names, "names", s.name+",localhost,127.0.0.1", "names")
		f.StringVar(&usage, "usage", "", "extended key usage")
		f.StringVar(&l.Key, "key", "ec", "type of the key")
		f.StringVar(&keyFile, "for-key", "", "file of the key")
		f.DurationVar(&from, "from", -30*time.Minute, "when it begins")
		f.DurationVar(&to, "to", 24*time.Hour, "when it ends")
		f.DurationVar(&middle, "middle", 0, "when the intermediate ends")
		f.BoolVar(&bare, "bare", false, "leave the intermediate out")
		f.BoolVar(&encrypt, "encrypt", false, "encrypt the key")
	})
	if err != nil {
		return err
	}
	l.Names, l.NotBefore, l.NotAfter = strings.Split(names, ","), time.Now().Add(from), time.Now().Add(to)
	switch usage {
	case "server":
		l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case "client":
		l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	p := s.sign(by, l, middle)
	if bare {
		p.Chain = p.Chain[:1]
	}
	dir := ts.MkAbs(args[0])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if keyFile != "" {
		return s.recertify(p.Leaf(), ts.MkAbs(keyFile), filepath.Join(dir, "redis.crt"))
	}
	f := p.Write(s.t, dir)
	if encrypt {
		return lock(f.Key)
	}
	return nil
}

// sign makes a pair by itself, by the authority of all scripts, or by one that is
// this script's alone, with an intermediate if that has an end.
func (s *host) sign(by string, l redistest.Leaf, middle time.Duration) *redistest.Pair {
	switch by {
	case "self":
		return redistest.SelfSigned(s.t, l)
	case "ca":
		p := s.ca.intermediate.Issue(s.t, l)
		p.Chain, p.Root = append(p.Chain, s.ca.intermediate.Cert), s.ca.RootCertificate
		return p
	}
	if s.roots[by] == nil {
		s.roots[by] = redistest.NewRoot(s.t)
	}
	ca := s.roots[by]
	if middle != 0 {
		ca = ca.Intermediate(s.t, time.Time{}, time.Now().Add(middle))
	}
	return ca.Issue(s.t, l)
}

// recertify writes a certificate like leaf, by the authority, for the key in
// keyFile.
func (s *host) recertify(leaf *x509.Certificate, keyFile, to string) error {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	key, err := cert.ParseKey(text)
	if err != nil {
		return err
	}
	by := s.ca.intermediate
	der, err := x509.CreateCertificate(rand.Reader, leaf, by.Cert, key.Public(), by.Key)
	if err != nil {
		return err
	}
	text = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return os.WriteFile(to, append(text, pemText(by.Cert)...), 0o600)
}

// lock encrypts the key in a file, as openssl did for decades.
func lock(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	//lint:ignore SA1019 what people have is what must be named
	locked, err := x509.EncryptPEMBlock(rand.Reader, block.Type, block.Bytes, []byte("x"), x509.PEMCipherAES256)
	if err != nil {
		return err
	}
	return os.WriteFile(file, pem.EncodeToMemory(locked), 0o600)
}
