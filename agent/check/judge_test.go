package check

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"redis-cert-agent/agent/cert"
	"redis-cert-agent/reload"
)

// now is the time of all judgements here.
const (
	day  = 24 * time.Hour
	year = 365 * day
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// usual is what the command asks for by default.
func usual(ca ...*authority) Want {
	w := Want{
		Warn: cert.Margin{Share: 0.25, Time: 21 * day}, Crit: cert.Margin{Share: 0.10, Time: 7 * day},
		Trust: Trust{Pool: x509.NewCertPool()}, Role: ServerRole, Names: []string{"redis.internal"},
	}
	if len(ca) > 0 {
		var named []*x509.Certificate
		for _, a := range ca {
			named = append(named, a.cert)
		}
		w.Trust = NewTrust(named)
	}
	return w
}

// An authority issues certificates; without an issuer it is a root.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serials int64

// issue makes a certificate for key, signed by ca, or by itself.
func issue(t testing.TB, ca *authority, key crypto.Signer, change func(*x509.Certificate)) *authority {
	t.Helper()
	serials++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serials), Subject: pkix.Name{CommonName: "redis.internal"},
		DNSNames: []string{"redis.internal"}, NotBefore: now.Add(-30 * day), NotAfter: now.Add(60 * day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{c, key}
}

func newCA(t testing.TB, issuer *authority, name string, from, to time.Duration) *authority {
	t.Helper()
	return issue(t, issuer, nil, func(c *x509.Certificate) {
		c.Subject.CommonName, c.DNSNames, c.ExtKeyUsage = name, nil, nil
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		c.NotBefore, c.NotAfter = now.Add(from), now.Add(to)
	})
}

// shown is a server that shows the chain.
func shown(chain ...*authority) Found {
	f := Found{Target: "redis.internal:6379", Kind: Server}
	for _, a := range chain {
		f.Chain = append(f.Chain, a.cert)
	}
	return f
}

func file(chain ...*authority) Found {
	f := shown(chain...)
	f.Target, f.Kind = "/etc/redis/redis.crt", File
	return f
}

// lasting makes a leaf valid from then to then.
func lasting(from, to time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(from), now.Add(to) }
}

// codes are the findings as "CRITICAL expired". One that users cannot look up is
// as no test wants it.
func codes(r Result) string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.State.String()+" "+f.Code)
		if !documented(f.Code) {
			all = append(all, "which docs/check.md does not explain")
		}
	}
	return strings.Join(all, ", ")
}

func TestJudgeTimes(t *testing.T) {
	root := newCA(t, nil, "root", -year, 10*year)
	middle := newCA(t, root, "middle", -year, 5*year)
	leaf := func(from, to time.Duration) Found { return shown(issue(t, middle, nil, lasting(from, to)), middle) }
	ending := newCA(t, root, "ending", -year, 50*day)
	old := newCA(t, root, "old", -year, -day)
	oldRoot := newCA(t, nil, "old root", -year, -time.Hour)
	for _, c := range []struct {
		name string
		f    Found
		want string
	}{
		{"healthy", leaf(-30*day, 60*day), ""},
		{"the time counts in a long life", leaf(-400*day, 20*day), "WARNING expiring"},
		{"one second before", leaf(-400*day, 21*day+time.Second), ""},
		{"to the second", leaf(-400*day, 21*day), "WARNING expiring"},
		{"critical time", leaf(-400*day, 6*day), "CRITICAL expiring"},
		{"the share counts in a day", leaf(-17*time.Hour, 7*time.Hour), ""},
		{"warning share of a day", leaf(-19*time.Hour, 5*time.Hour), "WARNING expiring"},
		{"critical share of a day", leaf(-22*time.Hour, 2*time.Hour), "CRITICAL expiring"},
		{"expired", leaf(-90*day, -time.Second), "CRITICAL expired"},
		{"the last second", leaf(-90*day, 0), "CRITICAL expiring"},
		{"not yet", leaf(time.Second, 90*day), "CRITICAL not-yet-valid"},
		{"never", shown(issue(t, middle, nil, lasting(time.Hour, -time.Hour)), middle), "CRITICAL never-valid, CRITICAL chain"},
		{"to the year 9999", leaf(-day, everlasting.Sub(now)), "WARNING issuer-first"},
		{"an issuer ends first", shown(issue(t, ending, nil, lasting(-day, 60*day)), ending), "WARNING issuer-first"},
		{"an issuer has ended", shown(issue(t, old, nil, lasting(-30*day, 60*day)), old), "CRITICAL expired"},
		{"the root has ended", shown(issue(t, oldRoot, nil, lasting(-30*day, 60*day))), "CRITICAL expired"},
		{"of two ways the longer one", shown(issue(t, middle, nil, nil), issue(t, oldRoot, middle.key, func(c *x509.Certificate) {
			c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.NotAfter = middle.cert.Subject, true, true, x509.KeyUsageCertSign, now.Add(30*day)
		}), issue(t, root, middle.key, func(c *x509.Certificate) {
			c.Subject, c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.NotAfter = middle.cert.Subject, true, true, x509.KeyUsageCertSign, now.Add(30*day)
		}), middle), "WARNING openssl"}, // which takes the first one
		{"nobody needs what has ended", shown(issue(t, middle, nil, nil), middle, issue(t, old, nil, func(c *x509.Certificate) {
			c.Subject, c.IsCA, c.NotAfter = middle.cert.Subject, true, now.Add(-day)
		})), "WARNING expired"},
	} {
		r := Judge(c.f, usual(root, oldRoot), now)
		if got := codes(r); got != c.want {
			t.Errorf("%s: %s, want %s; %+v", c.name, got, c.want, r.Findings)
		}
	}
}

func TestJudgeChain(t *testing.T) {
	root, other := newCA(t, nil, "root", -year, 10*year), newCA(t, nil, "other", -year, 10*year)
	twin := newCA(t, nil, "root", -year, 10*year) // the same name, another key
	middle := newCA(t, root, "middle", -year, 5*year)
	lower := newCA(t, middle, "lower", -year, 4*year)
	leaf, direct := issue(t, middle, nil, nil), issue(t, root, nil, nil)
	deep := issue(t, lower, nil, nil)
	own := issue(t, nil, nil, nil)
	ownCA := newCA(t, nil, "redis.internal", -day, year)
	noCA := issue(t, leaf, nil, func(c *x509.Certificate) { c.Subject.CommonName = "below" })
	namesake := newCA(t, nil, "redis.internal", -year, year) // called like the leaf
	clientsOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }
	narrow := issue(t, root, nil, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.Subject.CommonName = true, true, x509.KeyUsageCertSign, "narrow"
		c.NotAfter = now.Add(year)
		clientsOnly(c)
	})
	constrained := issue(t, root, nil, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage, c.Subject.CommonName = true, true, x509.KeyUsageCertSign, "constrained"
		c.NotAfter, c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = now.Add(year), []string{"example.org"}, true
	})
	system := usual()
	for _, c := range []struct {
		name string
		f    Found
		w    Want
		want string
	}{
		{"whole", shown(leaf, middle), usual(root), ""},
		{"with its root", shown(leaf, middle, root), usual(root), ""},
		{"two in between", shown(deep, lower, middle), usual(root), ""},
		{"without a root named", shown(leaf, middle), system, "WARNING untrusted"},
		{"another root named", shown(leaf, middle), usual(other), "CRITICAL incomplete"},
		{"another root named, with its own", shown(leaf, middle, root), usual(other), "CRITICAL untrusted"},
		{"whoever issued it", shown(leaf, middle), func() Want { w := usual(other); w.AnyCA = true; return w }(), ""},
		{"whoever issued it, of the same name", shown(direct), func() Want { w := usual(twin); w.AnyCA = true; return w }(), ""},
		{"without its intermediate", shown(leaf), usual(root), "CRITICAL incomplete"},
		{"without its intermediate and a root", shown(leaf), system, "WARNING untrusted"},
		{"a root of the same name", shown(direct), usual(twin), "CRITICAL chain"},
		{"the right one of two names", shown(direct), usual(twin, root), ""},
		{"self-signed", shown(own), system, "WARNING self-signed"},
		{"self-signed and another named", shown(own), usual(root), "CRITICAL self-signed"},
		{"self-signed and named", shown(own), usual(own), ""},
		{"issuer of the same name, unknown", shown(issue(t, namesake, nil, nil)), system, "WARNING untrusted"},
		{"issuer of the same name", shown(issue(t, namesake, nil, nil)), usual(namesake), "WARNING openssl"},
		{"out of order", shown(deep, middle, lower), usual(root), "WARNING order"},
		{"leaf twice", shown(leaf, leaf, middle), usual(root), "WARNING repeated"},
		{"with a stranger", shown(leaf, middle, other), usual(root), "WARNING unrelated"},
		{"a file with the CA first", file(middle, leaf), usual(root), "CRITICAL order"},
		{"issued by a leaf", shown(noCA, leaf, middle), usual(root), "CRITICAL chain"},
		{"issuer for clients only", shown(issue(t, narrow, nil, nil), narrow), usual(root), "CRITICAL usage"},
		{"constrained", shown(issue(t, constrained, nil, nil), constrained), usual(root), "CRITICAL chain"},
		{"constrained, without a root named", shown(issue(t, constrained, nil, nil), constrained), system, "CRITICAL chain"},
		{"for clients", shown(issue(t, middle, nil, clientsOnly), middle), usual(root), "CRITICAL usage"},
		{"for clients, without a root named", shown(issue(t, middle, nil, clientsOnly), middle), system, "CRITICAL usage, WARNING untrusted"},
		{"for anything", shown(issue(t, middle, nil, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), middle), usual(root), ""},
		{"another name", shown(issue(t, middle, nil, func(c *x509.Certificate) { c.DNSNames = []string{"web.internal"} }), middle), usual(root), "CRITICAL name"},
		{"no name", shown(issue(t, middle, nil, func(c *x509.Certificate) { c.DNSNames = nil }), middle), usual(root), "CRITICAL no-names"},
		{"a CA that is a server", shown(ownCA), usual(ownCA), "CRITICAL no-names, WARNING openssl"},
	} {
		r := Judge(c.f, c.w, now)
		if got := codes(r); got != c.want {
			t.Errorf("%s: %s, want %s; %+v", c.name, got, c.want, r.Findings)
		}
		for _, f := range r.Findings {
			if f.State != OK && f.Remedy == "" {
				t.Errorf("%s: nobody says what to do: %+v", c.name, f)
			}
		}
	}
	roles := func(r Result) string {
		var all []string
		for _, c := range r.Certificates {
			all = append(all, c.Role+" "+c.Source)
		}
		return strings.Join(all, ", ")
	}
	if got := roles(Judge(shown(deep, lower, middle, other), usual(root), now)); got != "leaf served, intermediate served, intermediate served, unrelated served, root trusted" {
		t.Errorf("roles: %s", got)
	}
	if got := roles(Judge(file(leaf, middle, root), usual(root), now)); got != "leaf file, intermediate file, root file" {
		t.Errorf("roles: %s", got)
	}
}

func TestJudgeWeakness(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	root := newCA(t, nil, "root", -year, 10*year)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if got := codes(Judge(shown(issue(t, root, small, nil)), usual(root), now)); got != "WARNING weak-key" {
		t.Errorf("1024 bits: %s", got)
	}
	big, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if got := codes(Judge(shown(issue(t, root, big, nil)), usual(root), now)); got != "" {
		t.Errorf("2048 bits: %s", got)
	}
	oldCA := issue(t, nil, big, func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid, c.KeyUsage = "old", true, true, x509.KeyUsageCertSign
		c.NotAfter, c.SignatureAlgorithm = now.Add(year), x509.SHA1WithRSA
	})
	if got := codes(Judge(shown(issue(t, oldCA, nil, nil)), usual(oldCA), now)); got != "" {
		t.Errorf("a root signed with SHA-1: %s", got) // nobody looks at it
	}
	sha1 := issue(t, oldCA, nil, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA })
	if got := codes(Judge(shown(sha1), usual(oldCA), now)); got != "CRITICAL weak-hash" {
		t.Errorf("SHA-1: %s", got)
	}
	if got := codes(Judge(shown(sha1), usual(), now)); got != "WARNING weak-hash, WARNING untrusted" {
		t.Errorf("SHA-1 of nobody known: %s", got)
	}
}

func TestJudgeBundle(t *testing.T) {
	good, ending, old := newCA(t, nil, "good", -year, 10*year), newCA(t, nil, "ending", -10*year, 3*day), newCA(t, nil, "old", -2*year, -day)
	bundle := func(chain ...*authority) Found {
		f := shown(chain...)
		f.Kind = CA
		return f
	}
	for want, f := range map[string]Found{
		"":                                    bundle(good),
		"WARNING expiring, WARNING expired":   bundle(good, ending, old),
		"CRITICAL expiring, CRITICAL expired": bundle(ending, old),
	} {
		if got := codes(Judge(f, usual(), now)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Of a hundred CA certificates only those that are not well are worth a line.
func TestQuietBundle(t *testing.T) {
	f := shown(newCA(t, nil, "good", -year, 10*year), newCA(t, nil, "old", -2*year, -day), newCA(t, nil, "better", -year, 20*year))
	f.Kind, f.Target = CA, "ca.crt"
	r := NewReport([]Result{Judge(f, usual(), now)}, now)
	var all, faulty strings.Builder
	if err := errors.Join(r.WriteText(&all, Style{}), r.WriteText(&faulty, Style{Faulty: true})); err != nil {
		t.Fatal(err)
	}
	if strings.Count(all.String(), "  ca  ") != 3 || strings.Count(faulty.String(), "  ca  ") != 1 || !strings.Contains(faulty.String(), "WARNING  ca.crt  ca           old\n") {
		t.Errorf("%s\n%s", &all, &faulty)
	}
	if want := `1 target: 1 warning; the next to end is the CA certificate "good" of ca.crt, in 10 y`; r.Summary != want {
		t.Errorf("summary %s, want %s", r.Summary, want)
	}
}

func TestJudgeServer(t *testing.T) {
	root := newCA(t, nil, "root", -year, 10*year)
	leaf, newer := issue(t, root, nil, nil), issue(t, root, nil, nil)
	own := issue(t, root, nil, func(c *x509.Certificate) { c.Subject.CommonName = "app" })
	for _, c := range []struct {
		probe      reload.Probe
		auth, want string
		says       string
	}{
		{reload.Probe{}, "not asked", "", ""},
		{reload.Probe{AsksClient: true, Accepted: true}, "optional", "OK client-auth", "does without"},
		{reload.Probe{AsksClient: true, Refusal: "certificate required"}, "required", "OK client-auth", "was shown none"},
		{reload.Probe{AsksClient: true, Presented: own.cert, Accepted: true}, "accepted", "OK client-auth", `accepts the client certificate "app"`},
		{reload.Probe{AsksClient: true, Presented: own.cert, Refusal: "unknown certificate authority"}, "refused", "CRITICAL client-auth", `refuses the client certificate "app" (unknown certificate authority)`},
	} {
		f := shown(leaf)
		f.Probe = c.probe
		r := Judge(f, usual(root), now)
		if r.ClientAuth != c.auth || codes(r) != c.want || c.says != "" && !strings.Contains(r.Findings[0].Text, c.says) {
			t.Errorf("%+v: %s, %+v", c.probe, r.ClientAuth, r.Findings)
		}
	}

	f := shown(leaf)
	f.OnDisk = []*x509.Certificate{leaf.cert}
	if got := codes(Judge(f, usual(root), now)); got != "" {
		t.Errorf("what is on disk is served: %s", got)
	}
	f.OnDisk = []*x509.Certificate{newer.cert}
	if got := codes(Judge(f, usual(root), now)); got != "WARNING drift" {
		t.Errorf("another is on disk: %s", got)
	}

	// A handshake that fails after the chain was shown.
	f = shown(leaf)
	f.Err = errors.New("probe redis.internal:6379: it fails the TLS handshake")
	r := Judge(f, usual(root), now)
	if codes(r) != "CRITICAL unreachable" || r.Findings[0].Text != "it fails the TLS handshake" || len(r.Certificates) != 2 {
		t.Errorf("%+v", r)
	}
}

func TestJudgeKey(t *testing.T) {
	root := newCA(t, nil, "root", -year, 10*year)
	leaf := issue(t, root, nil, nil)
	right := leaf.key.Public()
	for _, c := range []struct {
		name string
		key  Key
		want string
	}{
		{"its own", Key{Public: right, Mode: 0o600, WantGroup: -1}, ""},
		{"another", Key{Public: root.key.Public(), Mode: 0o600, WantGroup: -1}, "CRITICAL key-mismatch"},
		{"open", Key{Public: right, Mode: 0o644, WantGroup: -1}, "WARNING key-open"},
		{"of the group", Key{Public: right, Mode: 0o640, GID: 7, WantGroup: 7}, ""},
		{"of another group", Key{Public: right, Mode: 0o640, GID: 8, WantGroup: 7}, "WARNING key-closed"},
		{"closed to the group", Key{Public: right, Mode: 0o600, GID: 7, WantGroup: 7}, "WARNING key-closed"},
		{"encrypted", Key{Err: cert.ErrEncryptedKey, WantGroup: -1}, "UNKNOWN unreadable"},
		{"missing", Key{Err: fs.ErrNotExist, WantGroup: -1}, "CRITICAL missing"},
		{"forbidden", Key{Err: fs.ErrPermission, WantGroup: -1}, "UNKNOWN unreadable"},
		{"broken", Key{Err: errors.New("no PRIVATE KEY block"), WantGroup: -1}, "CRITICAL malformed"},
	} {
		f := file(leaf)
		f.Key = &c.key
		if got := codes(Judge(f, usual(root), now)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// What a certificate says of itself stays text.
func TestForeignText(t *testing.T) {
	evil := "\x1b[31mred\r\nREDIS CERT OK - fine | 'x'=1\u202e\u0000"
	root := newCA(t, nil, evil+"root", -year, 10*year)
	leaf := issue(t, root, nil, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: evil, Organization: []string{strings.Repeat("long ", 400)}}
		c.DNSNames = nil
		c.NotAfter = now.Add(-day)
	})
	f := shown(leaf, root)
	f.Probe = reload.Probe{AsksClient: true, Presented: leaf.cert, Refusal: evil}
	r := NewReport([]Result{Judge(f, usual(), now)}, now)
	checkOutputs(t, r)
}

// checkOutputs writes a report in every way and looks for what must not be there.
func checkOutputs(t testing.TB, r Report) {
	t.Helper()
	var text, jsonText, nagios strings.Builder
	for _, err := range []error{r.WriteText(&text, Style{}), r.WriteJSON(&jsonText), r.WriteNagios(&nagios)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, out := range []string{text.String(), jsonText.String(), nagios.String()} {
		if i := strings.IndexFunc(out, func(c rune) bool { return c < ' ' && c != '\n' || c == 0x7f || c == 0x202e }); i >= 0 {
			t.Errorf("a control character gets through: %q", out)
		}
	}
	first, _, _ := strings.Cut(nagios.String(), "\n")
	if n := strings.Count(first, "|"); n > 1 || strings.Count(nagios.String(), "|") != n {
		t.Errorf("more than one pipe: %s", nagios.String())
	}
	if !strings.HasPrefix(first, fmt.Sprintf("REDIS CERT %s - ", r.State)) {
		t.Errorf("first line %q", first)
	}
	for _, line := range strings.Split(strings.TrimSpace(nagios.String()), "\n")[1:] {
		if !slices.ContainsFunc([]string{"WARNING: ", "CRITICAL: ", "UNKNOWN: "}, func(p string) bool { return strings.HasPrefix(line, p) }) {
			t.Errorf("a line of a certificate's own: %q", line)
		}
	}
}
