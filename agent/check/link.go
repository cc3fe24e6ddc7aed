package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
)

// A Link is a connection that a server makes to another of its kind: to its master, or to
// the bus of another node of its cluster. One that is there survives every new certificate,
// so that only another one, made in the same way, tells whether it could be made again.
type Link struct {
	To      string // whom it leads to, to follow "to": "its master 10.0.0.1:6379"
	Plain   string // by which parameter it is made without TLS, as "tls-replication no"; empty: it is not
	Untried string // why it is not tried; empty: it is

	Address string // host:port
	Bus     bool   // it is that of a cluster's bus
	Timeout time.Duration
	Client  *tls.Certificate    // what the server presents
	Roots   []*x509.Certificate // what the server trusts
	Name    string              // what the other one must carry (tls-expected-peer-name); empty: anything
}

// Tried is what a Link met.
type Tried struct {
	Link
	Probe reload.Probe
	Err   error
}

func (l Link) try(ctx context.Context) Tried {
	t := Tried{Link: l}
	if l.Plain != "" || l.Untried != "" {
		return t
	}
	within, cancel := context.WithTimeout(ctx, l.Timeout+grace)
	defer cancel()
	r := reload.New(reload.Server{Address: l.Address, Timeout: l.Timeout, Client: func() (*tls.Certificate, error) { return l.Client, nil }})
	if l.Bus {
		t.Probe, t.Err = r.ProbeBus(within, reload.Trust{})
	} else {
		t.Probe, t.Err = r.Probe(within, reload.Trust{})
	}
	t.Err = explain(t.Err, l.Timeout)
	return t
}

// link judges one link. Critical is what fails as soon as it has to be made again.
func (j *judge) link(l Tried) {
	switch {
	case l.Plain != "":
		j.plainLink(l)
	case l.Untried != "":
		j.say(OK, CodeLink, fmt.Sprintf("whether it could connect to %s again was not tried: %s", l.To, l.Untried), "")
	case errors.Is(l.Err, reload.ErrUnable):
		j.say(OK, CodeUnjudged, fmt.Sprintf("the connection to %s: %v", l.To, bare(l.Err)), "")
	case l.Err != nil:
		j.say(Warning, CodeLink, fmt.Sprintf("it cannot connect to %s now: %s", l.To, strings.TrimPrefix(bare(l.Err).Error(), "probe "+l.Address+": ")), "")
	default:
		j.met(l)
	}
}

func (j *judge) plainLink(l Tried) {
	text, remedy := fmt.Sprintf("the connection to %s is in plain text (%s): whoever is between the two reads all that is replicated, and the password", l.To, l.Plain),
		"CONFIG SET tls-replication yes, REPLICAOF with the TLS port of the master, and CONFIG REWRITE"
	if l.Bus {
		text = fmt.Sprintf("%s is in plain text (%s): nobody on it shows a certificate, and whoever reaches its port can speak as a node of the cluster", l.To, l.Plain)
		remedy = "set tls-cluster yes on every node: those that have it and those that do not cannot speak with each other, so that all are restarted with it within cluster-node-timeout"
	}
	j.say(Warning, CodePlainLink, text, remedy)
}

// met judges a link that got as far as a handshake, from both ends.
func (j *judge) met(l Tried) {
	good := true
	if why := l.distrust(j.now); why != nil {
		good = false
		j.say(Critical, CodeLink, fmt.Sprintf("it could not connect to %s again: it would refuse the certificate %s that is shown there: %v", l.To, called(l.Probe.Chain[0]), why),
			"the CA of that certificate must be in the tls-ca-cert-file that this server has loaded")
	}
	if l.Probe.Refusal != "" {
		good = false
		j.say(Critical, CodeLink, fmt.Sprintf("it could not connect to %s again: what it presents, %s, is refused there (%s)%s", l.To, l.presents(), l.Probe.Refusal, l.unfit(j.now)),
			"it must be valid, for clients, and of a CA in the tls-ca-cert-file that the other server has loaded; what is presented is tls-client-cert-file, or else tls-cert-file")
	}
	if good {
		j.say(OK, CodeLink, fmt.Sprintf("a connection to %s, as it would make it again, succeeds", l.To), "")
	}
}

// distrust returns why the server would refuse the other one.
func (l Tried) distrust(now time.Time) error {
	q := cert.Question{Leaf: l.Probe.Chain[0], Sent: l.Probe.Chain[1:], Uses: []cert.Use{cert.AsServer}, Time: now, Roots: l.Roots}
	if l.Name != "" {
		q.Names = []string{l.Name}
	}
	return cert.Judge(q).Refusal(cert.OpenSSL)
}

func (l Tried) presents() string {
	if l.Probe.Presented == nil {
		return "no certificate"
	}
	return called(l.Probe.Presented)
}

// unfit says what is wrong with the client certificate by itself, to follow the refusal.
func (l Tried) unfit(now time.Time) string {
	c := l.Probe.Presented
	switch {
	case c == nil:
		return ""
	case !cert.CanAuthenticateClients(c):
		return ": it is not for clients, since it lacks clientAuth"
	case cert.ValidAt([]*x509.Certificate{c}, now) != nil:
		return fmt.Sprintf(": %v", cert.ValidAt([]*x509.Certificate{c}, now))
	}
	return ""
}
