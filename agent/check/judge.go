package check

import (
	"crypto/x509"
	"fmt"
	"slices"
	"sort"
	"time"

	"redis-cert-agent/agent/cert"
)

// longest is how many certificates of a chain are looked at: enough for any real
// chain, and few enough that one made by an attacker costs little.
const longest = 32

// Judge says what is wrong with what was found, at the time now. It looks at
// nothing else.
func Judge(f Found, w Want, now time.Time) Result {
	j := &judge{f: f, w: w, now: now}
	j.res = Result{Target: clean(f.Target), Kind: f.Kind, Certificates: []Certificate{}, Findings: []Finding{}}
	if len(f.Chain) > longest && f.Kind != CA {
		j.say(Warning, CodeChain, fmt.Sprintf("it comes with %d certificates, of which the first %d are looked at", len(f.Chain)-1, longest-1), "leave only the leaf and its issuers in the file")
		j.f.Chain = f.Chain[:longest]
	}
	if f.Err != nil {
		j.failure(f.Err)
	}
	if f.Kind == Server {
		j.server()
	}
	switch {
	case len(f.Chain) > 0 && f.Kind == CA:
		j.bundle()
	case len(f.Chain) > 0:
		j.chain()
	}
	if f.Key != nil {
		j.key(f.Key)
	}
	for _, text := range f.Unread {
		j.say(Warning, CodeUnjudged, text, "have it issued again, if it is yours; where nobody needs it, take it out of the file")
	}
	j.finish()
	return j.res
}

type judge struct {
	f   Found
	w   Want
	now time.Time

	leaf *x509.Certificate
	path path
	all  []*x509.Certificate // those of res.Certificates

	res Result
}

// say adds a finding about the target as a whole.
func (j *judge) say(s State, code, text, remedy string) {
	j.res.Findings = append(j.res.Findings, Finding{State: s, Code: code, Text: clean(text), Remedy: clean(remedy)})
}

// blame adds a finding about one certificate.
func (j *judge) blame(c *x509.Certificate, s State, code, text, remedy string) {
	j.say(s, code, text, remedy)
	if i := slices.IndexFunc(j.all, c.Equal); i >= 0 {
		j.res.Findings[len(j.res.Findings)-1].Certificate = &i
		j.res.Certificates[i].State = worse(j.res.Certificates[i].State, s)
	}
}

// worsen makes the warnings of a code critical.
func (j *judge) worsen(code string) {
	for i, f := range j.res.Findings {
		if f.Code != code {
			continue
		}
		j.res.Findings[i].State = Critical
		if f.Certificate != nil {
			j.res.Certificates[*f.Certificate].State = Critical
		}
	}
}

// finish orders the findings, the worst first, and those alike as they came.
func (j *judge) finish() {
	found := j.res.Findings
	sort.SliceStable(found, func(i, j int) bool { return found[i].State.badness() > found[j].State.badness() })
	for _, f := range j.res.Findings {
		j.res.State = worse(j.res.State, f.State)
	}
}

// chain judges a leaf and what came with it.
func (j *judge) chain() {
	others := j.order()
	v := j.verdict(others)
	j.path = follow(j.leaf, others, j.w, j.now, v)
	for _, c := range j.f.Chain {
		j.list(c, j.roleOf(c), j.source())
	}
	for _, c := range j.path.certs {
		if !slices.ContainsFunc(j.all, c.Equal) {
			j.list(c, j.roleOf(c), "trusted")
		}
	}
	for _, c := range unique(j.all) {
		j.times(c)
		j.strength(c)
	}
	if j.judged(v) {
		j.issuerFirst()
		j.trusted()
		j.usage()
		j.names()
	}
	j.clients(v)
	j.drift()
}

// bundle judges CA certificates: one that ends is no loss while there is
// another, so that only the last one's end is critical.
func (j *judge) bundle() {
	for _, c := range j.f.Chain {
		j.list(c, "ca", j.source())
	}
	usable := slices.ContainsFunc(j.f.Chain, func(c *x509.Certificate) bool {
		return !j.now.Before(c.NotBefore) && j.now.Before(j.w.Crit.Start(c))
	})
	for _, c := range unique(j.all) {
		j.times(c)
		j.strength(c)
	}
	if !usable {
		return
	}
	for i := range j.res.Findings {
		j.res.Findings[i].State = atMost(Warning, j.res.Findings[i].State)
	}
	for i := range j.res.Certificates {
		j.res.Certificates[i].State = atMost(Warning, j.res.Certificates[i].State)
	}
}

func atMost(limit, s State) State {
	if s.badness() > limit.badness() {
		return limit
	}
	return s
}

func (j *judge) source() string {
	if j.f.Kind == Server {
		return "served"
	}
	return "file"
}

// list adds a certificate to the result.
func (j *judge) list(c *x509.Certificate, role, source string) {
	j.all = append(j.all, c)
	var names []string
	for _, n := range cert.NamesOf(c) {
		names = append(names, clean(n))
	}
	j.res.Certificates = append(j.res.Certificates, Certificate{Role: role, Source: source, Facts: &Facts{
		commonName: clean(c.Subject.CommonName),
		Subject:    clean(c.Subject.String()), Issuer: clean(c.Issuer.String()), Serial: cert.Serial(c), Names: names,
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), SecondsLeft: c.NotAfter.Unix() - j.now.Unix(),
		WarnAt: start(j.w.Warn, c), CritAt: start(j.w.Crit, c),
		Key: keyType(c), Signature: c.SignatureAlgorithm.String(), SHA256: cert.FingerprintOf(c).String(),
	}})
}

// start is when the margin of c begins, in a year that RFC 3339 can write.
func start(m cert.Margin, c *x509.Certificate) time.Time {
	if at := m.Start(c).UTC(); at.Year() >= 0 {
		return at
	}
	return c.NotAfter.UTC()
}

func (j *judge) roleOf(c *x509.Certificate) string {
	i := slices.IndexFunc(j.path.certs, c.Equal)
	switch {
	case i == 0 && j.w.Role == ClientRole:
		return "client"
	case i == 0:
		return "leaf"
	case i < 0:
		return "unrelated"
	case i == len(j.path.certs)-1 && (j.path.whole || selfSigned(c)):
		return "root"
	}
	return "intermediate"
}

// unique returns the certificates, each once.
func unique(certs []*x509.Certificate) []*x509.Certificate { return cert.Merge(certs) }

func keyType(c *x509.Certificate) string {
	if c.PublicKey == nil {
		return "unknown"
	}
	return string(cert.KeyTypeOf(c.PublicKey))
}
