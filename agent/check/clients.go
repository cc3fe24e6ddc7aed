package check

import (
	"crypto/x509"
	"slices"

	"redis-cert-agent/agent/cert"
)

// verdict asks who accepts the leaf with what came behind it.
func (j *judge) verdict(others []*x509.Certificate) cert.Verdict {
	q := cert.Question{Leaf: j.leaf, Sent: others, Names: j.w.Names, Time: j.now, Roots: j.w.Trust.Named}
	switch {
	case j.w.AnyCA:
		q.Roots = nil
	case q.Roots == nil:
		q.System = j.w.Trust.Pool
	}
	switch j.w.Role {
	case ServerRole:
		q.Uses = []cert.Use{cert.AsServer}
	case ClientRole:
		q.Uses = []cert.Use{cert.AsClient}
	}
	return cert.Judge(q)
}

// judged says whether crypto/x509 can judge the chain: where it refuses one with something
// in it that it does not know, and the rules of OpenSSL have nothing against it, it cannot.
func (j *judge) judged(v cert.Verdict) bool {
	unknown := slices.ContainsFunc(v.Findings, func(f cert.Finding) bool { return f.Code == cert.CodeUnjudged })
	return cert.Unread(j.leaf) == nil && (j.path.whole || !unknown || v.Refusal(cert.OpenSSL) != nil)
}

// clients tells what only some clients refuse: those with OpenSSL, as redis-cli and redis
// itself, or those that verify strictly. What all of them refuse has been said.
func (j *judge) clients(v cert.Verdict) {
	for _, f := range v.Findings {
		switch {
		case f.Code == cert.CodeUnjudged && cert.Unread(f.Cert) != nil && len(j.f.Unread) > 0: // told with its place
		case f.Code == cert.CodeUnjudged && !j.path.whole:
			j.blame(f.Cert, Warning, CodeUnjudged, f.Text, f.Remedy)
		case f.Code == cert.CodeUnjudged:
			j.blame(f.Cert, OK, CodeUnjudged, f.Text, f.Remedy)
		case f.Code == cert.CodeCurve:
			j.blame(f.Cert, Critical, CodeCurve, f.Text, f.Remedy)
		case f.Refuses&cert.Go != 0, f.Code == cert.CodeWeak:
		case f.Refuses&cert.OpenSSL != 0:
			j.blame(f.Cert, Warning, CodeOpenSSL, f.Text, f.Remedy)
		case f.Refuses&cert.Strict != 0:
			j.blame(f.Cert, Warning, CodeStrict, f.Text, f.Remedy)
		}
	}
}
