package main

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"

	"redis-cert-agent/agent/check"
	"redis-cert-agent/reload/redistest"
)

// foundIn are the findings of a code, as "CRITICAL text".
func foundIn(r check.Report, target, code string) (all []string) {
	for _, t := range r.Targets {
		for _, f := range t.Findings {
			if t.Target == target && f.Code == code {
				all = append(all, f.State.String()+" "+f.Text)
			}
		}
	}
	return all
}

// A replica's link is tried as the replica makes it: by its certificate for others, by its
// CA file, at the TLS port of its master.
func TestCheckLinkToAMaster(t *testing.T) {
	ca, other := redistest.NewRoot(t), redistest.NewRoot(t)
	stranger := other.Issue(t, redistest.Leaf{Names: []string{"stranger.internal"}}).Write(t, t.TempDir())
	serverOnly := ca.Issue(t, redistest.Leaf{Names: []string{"half.internal"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}).Write(t, t.TempDir())
	own := func() redistest.Files { return ca.Issue(t, redistest.Leaf{}).Write(t, t.TempDir()) }
	trusting := own()
	trusting.CA = stranger.CA
	master := redistest.Start(t, redistest.Options{Files: own(), AuthClients: "yes", Conf: []string{"tls-replication yes"}})
	_, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	to := "its master " + master.Addr
	for name, tt := range map[string]struct {
		files redistest.Files
		conf  []string
		want  string
		code  string
	}{
		"well": {own(), []string{"tls-replication yes"}, "OK a connection to " + to + ", as it would make it again, succeeds", "link"},
		"a certificate of its own for others, of another CA": {own(), []string{"tls-replication yes", "tls-client-cert-file " + stranger.Cert, "tls-client-key-file " + stranger.Key},
			"CRITICAL it could not connect to " + to + ` again: what it presents, "stranger.internal", is refused there (`, "link"},
		"one that is not for clients": {own(), []string{"tls-replication yes", "tls-client-cert-file " + serverOnly.Cert, "tls-client-key-file " + serverOnly.Key},
			"): it is not for clients, since it lacks clientAuth", "link"},
		"it does not trust the master": {trusting, []string{"tls-replication yes"}, `it would refuse the certificate "localhost" that is shown there: `, "link"},
		"plain":                        {own(), nil, "WARNING the connection to " + to + " is in plain text (tls-replication no)", "plain-link"},
	} {
		t.Run(name, func(t *testing.T) {
			replica := redistest.Start(t, redistest.Options{Files: tt.files, Password: "hunter2", Conf: append(tt.conf, "replicaof 127.0.0.1 "+port)})
			r, _ := checkHost(t, hostOf(t, replica.Dir+"/*.conf", replica))
			if got := foundIn(r, replica.Addr, tt.code); len(got) != 1 || !strings.Contains(got[0], tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	master.Stop()
	replica := redistest.Start(t, redistest.Options{Files: own(), Conf: []string{"tls-replication yes", "replicaof 127.0.0.1 " + port}})
	r, _ := checkHost(t, hostOf(t, replica.Dir+"/*.conf", replica))
	if got := foundIn(r, replica.Addr, "link"); len(got) != 1 || !strings.HasPrefix(got[0], "WARNING it cannot connect to "+to+" now: ") {
		t.Errorf("without a master: %q", got)
	}
}

// The bus of a node that knows no other yet is tried at its own port; one without TLS is named.
func TestCheckBus(t *testing.T) {
	ca := redistest.NewRoot(t)
	serverOnly := ca.Issue(t, redistest.Leaf{Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	for name, tt := range map[string]struct {
		pair *redistest.Pair
		tls  string
		want []string
	}{
		"well":                 {ca.Issue(t, redistest.Leaf{}), "yes", []string{"OK a connection to the bus at ", ", its own in place of another node's, as it would make it again, succeeds"}},
		"for servers alone":    {serverOnly, "yes", []string{"CRITICAL it could not connect to the bus at ", ": it is not for clients, since it lacks clientAuth"}},
		"a bus in plain text":  {ca.Issue(t, redistest.Leaf{}), "no", []string{"WARNING the bus of its cluster is in plain text (tls-cluster no)"}},
		"TLS 1.2, well":        {ca.Issue(t, redistest.Leaf{}), "yes\ntls-protocols TLSv1.2", []string{"OK a connection to the bus at "}},
		"TLS 1.2, for servers": {serverOnly, "yes\ntls-protocols TLSv1.2", []string{"CRITICAL it could not connect to the bus at "}},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := reserveNode(t)
			o := redistest.Options{Addr: addr, Files: tt.pair.Write(t, t.TempDir()), Password: "hunter2", Conf: []string{"cluster-enabled yes", "tls-cluster " + tt.tls}}
			if tt.tls == "no" { // the bus is 10000 above the plaintext port
				plain, _ := reserveNode(t)
				_, port, _ := net.SplitHostPort(plain)
				o.Conf = append(o.Conf, "port "+port)
			}
			node := redistest.Start(t, o)
			r, _ := checkHost(t, hostOf(t, node.Dir+"/*.conf", node))
			got := slices.Concat(foundIn(r, node.Addr, "link"), foundIn(r, node.Addr, "plain-link"))
			for _, want := range tt.want {
				if len(got) != 1 || !strings.Contains(got[0], want) {
					t.Errorf("%q, want %q", got, want)
				}
			}
		})
	}
}
