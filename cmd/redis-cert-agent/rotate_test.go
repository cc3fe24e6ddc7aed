package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"

	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/agent/cert"
)

// renews asks step-ca itself whether it renews the pair in two files, over mutual TLS as
// whoever has the key would.
func (s *host) renews(ts *testscript.TestScript, certFile, keyFile, want string) error {
	pair, err := tls.LoadX509KeyPair(ts.MkAbs(certFile), ts.MkAbs(keyFile))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.ca.RootCertificate)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}, DisableKeepAlives: true}}
	resp, err := client.Post(s.ca.URL+"/1.0/renew", "application/json", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	code := map[string]int{"yes": http.StatusCreated, "no": http.StatusUnauthorized}[want]
	if resp.StatusCode != code {
		return fmt.Errorf("step-ca answers %s to the renewal, want %d", resp.Status, code)
	}
	return nil
}

// certificateStatus checks what Pebble has recorded of the certificate in a file.
func (s *host) certificateStatus(ts *testscript.TestScript, file, want string) error {
	chain, err := cert.ReadCertificates(ts.MkAbs(file))
	if err != nil {
		return err
	}
	if got := s.pebble.Status(s.t, chain[0]); got != want {
		return fmt.Errorf("Pebble says of %s: %s, want %s", file, got, want)
	}
	return nil
}
