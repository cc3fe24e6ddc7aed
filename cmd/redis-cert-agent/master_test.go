package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"redis-cert-agent/agent/cert"
)

// A master takes the connections of a replica, and notes which certificate it presents. It
// does not answer, so that the replica connects again and again.
type master struct {
	net.Listener
	mu        sync.Mutex
	presented *x509.Certificate
	refused   error
}

// cmdMaster stands in for the master of redis, which demands a client certificate of the
// authority:
//
//	master start DIR       with the pair in DIR; $MASTER_PORT is its port
//	master presented FILE  redis presents the certificate in FILE
func (s *host) cmdMaster(ts *testscript.TestScript, args []string) error {
	if args[0] == "start" {
		own, err := tls.LoadX509KeyPair(ts.MkAbs(args[1]+"/redis.crt"), ts.MkAbs(args[1]+"/redis.key"))
		if err != nil {
			return err
		}
		return s.startMaster(ts, own)
	}
	want, err := readLeaf(ts.MkAbs(args[1]))
	if err != nil {
		return err
	}
	err = s.until("presented "+args[1], func() bool {
		s.master.mu.Lock()
		defer s.master.mu.Unlock()
		return s.master.presented != nil && s.master.presented.Equal(want)
	})
	if err != nil {
		err = errors.Join(err, s.master.refused)
	}
	return err
}

func (s *host) startMaster(ts *testscript.TestScript, own tls.Certificate) error {
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: cert.Pool([]*x509.Certificate{s.ca.RootCertificate}),
	})
	if err != nil {
		return err
	}
	m := &master{Listener: l}
	s.master = m
	s.t.Cleanup(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Setenv("MASTER_PORT", port)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go m.note(conn.(*tls.Conn))
		}
	}()
	return err
}

func (m *master) note(conn *tls.Conn) {
	defer conn.Close()
	err := conn.Handshake()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.refused = fmt.Errorf("the last one was refused: %w", err)
		return
	}
	m.presented = conn.ConnectionState().PeerCertificates[0]
}
