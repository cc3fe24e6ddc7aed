package metrics

import (
	"slices"
	"time"

	"redis-cert-agent/agent/report"
)

// read adds what the agent last knew. Before the first look that is nothing.
func (t table) read(s report.Status) {
	if s.Looked.IsZero() {
		return
	}
	t.certificates(s.Certificates)
	t.issuing(s)
	t.health(s)

	newest := s.Pending
	if newest == nil {
		newest = s.Pair
	}
	for _, server := range s.Servers {
		t.set(up, truth(server.ServedSerial != ""), server.Address)
		t.set(proven, truth(server.State == report.Proven), server.Address)
		t.set(drift, truth(newest != nil && server.ServedSerial != "" && server.ServedSerial != newest.Serial), server.Address)
	}
}

// certificates adds all that can expire. Of several that look alike, as two
// intermediates of one subject do in a bundle, the one that ends first counts:
// only its issuer and serial are shown, since who joins by the other labels
// wants one of each.
func (t table) certificates(all []report.Certificate) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b report.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	for _, c := range all {
		if c.Error != "" {
			t.set(unreadable, 1, c.Path, c.Server, c.Where)
			continue
		}
		s, fresh := t.at(notAfter, []string{c.Path, string(c.Role), c.Server, c.Subject, c.Where})
		if !fresh {
			continue
		}
		s.value = seconds(c.NotAfter)
		t.setTime(notBefore, c.NotBefore, s.labels...)
		t.set(info, 1, c.Issuer, c.Path, string(c.Role), c.Serial, c.Server, c.Subject, c.Where)
	}
}

// issuing adds how the authorities did. Two of one address, as two provisioners
// of one CA, count as one.
func (t table) issuing(s report.Status) {
	t.setTime(renewalDue, s.Due)
	t.add(rotations, s.Rotations)
	var given, failed = map[string]time.Time{}, map[string]time.Time{}
	for _, ca := range s.CAs {
		t.add(attempts, ca.Succeeded, ca.URL, success)
		t.add(attempts, ca.Failed, ca.URL, failure)
		t.add(attempts, ca.Refused, ca.URL, refused)
		given[ca.URL] = later(given[ca.URL], ca.LastSuccess)
		failed[ca.URL] = later(failed[ca.URL], ca.LastFailure)
		t.setTime(issueSuccess, given[ca.URL], ca.URL)
		t.setTime(issueFailure, failed[ca.URL], ca.URL)
	}
}

func (t table) health(s report.Status) {
	t.add(problems, 0, string(report.Warning))
	t.add(problems, 0, string(report.Critical))
	for _, p := range s.Problems() {
		t.add(problems, 1, string(p.Severity))
	}
	t.set(healthy, truth(s.Healthy()))
	t.set(synced, truth(s.Synchronised))
	t.setTime(lastLook, s.Looked)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
