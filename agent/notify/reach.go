package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"

	"redis-cert-agent/agent/plain"
)

// Reach finds out whether a message could be sent, and sends none: it connects to where
// the service of s is and verifies its certificate, with the proxy that the environment
// names up to that proxy. Of a command it looks whether there is one. Found says in one
// line what there is, without a URL that is a secret.
func Reach(ctx context.Context, s Sender) (found string, err error) {
	switch s := s.(type) {
	case Webhook:
		return s.reach(ctx)
	case Slack:
		return s.reach(ctx)
	case PagerDuty:
		if _, err := s.KeyFile.Read(); err != nil {
			return "", err
		}
		return s.reach(ctx)
	case Command:
		path, err := exec.LookPath(s.Args[0])
		if err != nil {
			return "", fmt.Errorf("the command does not run: %w", err)
		}
		return path + " can be run", nil
	}
	return "nothing is known of it", nil
}

// Reach is Reach of the service that the heartbeat asks.
func (h Heartbeat) Reach(ctx context.Context) (found string, err error) { return h.Service.reach(ctx) }

func (s Service) reach(ctx context.Context) (found string, err error) {
	address, err := s.address()
	if err != nil {
		return "", err
	}
	if s.TokenFile.Set() {
		if _, err := s.TokenFile.Read(); err != nil {
			return "", err
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("the URL cannot be parsed") // the cause quotes it
	}
	client, err := s.client()
	if err != nil {
		return "", err
	}
	transport := client.Transport.(*http.Transport)
	if proxy, err := transport.Proxy(&http.Request{URL: u}); err == nil && proxy != nil {
		return "the proxy of the environment answers", s.connect(ctx, proxy, nil)
	}
	conf := transport.TLSClientConfig
	conf.ServerName = u.Hostname()
	if u.Scheme == "http" {
		conf = nil
	}
	return "it answers, and nothing was sent", s.connect(ctx, u, conf)
}

// connect opens a connection, with TLS where there is a configuration for it.
func (s Service) connect(ctx context.Context, u *url.URL, conf *tls.Config) error {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err == nil && conf != nil {
		secured := tls.Client(conn, conf)
		err = secured.HandshakeContext(ctx)
		conn.Close()
	} else if err == nil {
		conn.Close()
	}
	if err != nil {
		text := plain.Clip(plain.OneLine(err.Error()), maxText)
		return fmt.Errorf("it does not answer: %s; check that it runs and that this host may reach it", text)
	}
	return nil
}
