package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload/redistest"
)

// cmdHand makes a certificate and its key as another hand would, in DIR as
// redis.crt, redis.key and ca.crt. Times count from now.
//
//	hand [-by ca|self|other] [-from -1h] [-to 1h] [-names N,N] [-key ec|rsa] [-encrypt] DIR
//	hand -for KEY ... DIR   only redis.crt, for a key that is there
func (s *stage) cmdHand(ts *testscript.TestScript, args []string) error {
	var by, names, keyFile string
	var l redistest.Leaf
	var from, to time.Duration
	var encrypt bool
	args, err := flags(args, func(f *flag.FlagSet) {
		f.StringVar(&by, "by", "ca", "who signs")
		f.StringVar(&names, "names", s.name+",localhost,127.0.0.1", "names")
		f.StringVar(&l.Key, "key", "ec", "type of the key")
		f.StringVar(&keyFile, "for", "", "file of the key")
		f.DurationVar(&from, "from", -30*time.Minute, "when it begins")
		f.DurationVar(&to, "to", 24*time.Hour, "when it ends")
		f.BoolVar(&encrypt, "encrypt", false, "encrypt the key")
	})
	if err != nil {
		return err
	}
	l.Names, l.NotBefore, l.NotAfter = strings.Split(names, ","), time.Now().Add(from), time.Now().Add(to)
	p, err := s.sign(by, l)
	if err != nil {
		return err
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

func (s *stage) sign(by string, l redistest.Leaf) (*redistest.Pair, error) {
	switch by {
	case "self":
		return redistest.SelfSigned(s.t, l), nil
	case "other":
		return redistest.NewRoot(s.t).Issue(s.t, l), nil
	case "ca":
		p := s.ca.intermediate.Issue(s.t, l)
		p.Chain, p.Root = append(p.Chain, s.ca.intermediate.Cert), s.ca.RootCertificate
		return p, nil
	}
	return nil, fmt.Errorf("hand -by %s: no such hand", by)
}

// recertify writes a certificate like leaf, by the authority, for the key in
// keyFile.
func (s *stage) recertify(leaf *x509.Certificate, keyFile, to string) error {
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
