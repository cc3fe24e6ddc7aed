package reload_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/reload"
	"redis-cert-agent/reload/redistest"
)

// A replica whose certificate its master refuses is up, and its link is not: real servers,
// where the master asks for a client certificate of another authority.
func TestMasterLink(t *testing.T) {
	ours, theirs := redistest.NewRoot(t), redistest.NewRoot(t)
	both := ours.Issue(t, redistest.Leaf{}).Write(t, t.TempDir())
	start := func(ca *redistest.CA, trusted string, conf ...string) (*redistest.Server, *reload.Redis, reload.Trust) {
		files := ca.Issue(t, redistest.Leaf{}).Write(t, t.TempDir())
		files.CA = trusted
		s := redistest.Start(t, redistest.Options{Files: files, Socket: true, AuthClients: "yes", Conf: append(conf, "tls-replication yes")})
		trust := reload.Trust{Roots: ca.Roots(), Client: ca.Issue(t, redistest.Leaf{}).TLS()}
		return s, reload.New(reload.Server{Address: s.Addr, Name: "localhost", Control: "unix:" + s.Socket}), trust
	}
	stranger := theirs.Issue(t, redistest.Leaf{}).Write(t, t.TempDir())
	master, _, _ := start(ours, both.CA)
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	_, good, goodTrust := start(ours, both.CA, "replicaof "+host+" "+port)
	_, bad, badTrust := start(theirs, stranger.CA, "replicaof "+host+" "+port)
	await := func(r *reload.Redis, trust reload.Trust, want func(reload.Links) bool) reload.Links {
		deadline := time.Now().Add(2 * time.Minute)
		for {
			got, err := r.Settings(t.Context(), trust)
			if err == nil && want(got.Links) {
				return got.Links
			}
			if time.Now().After(deadline) {
				t.Fatalf("links %+v, %v", got.Links, err)
			}
		}
	}
	await(good, goodTrust, func(l reload.Links) bool { return l == reload.Links{Any: true} })
	await(bad, badTrust, func(l reload.Links) bool {
		return strings.Contains(l.Down, "its link to its master "+master.Addr) && l.For < time.Hour
	})
}
