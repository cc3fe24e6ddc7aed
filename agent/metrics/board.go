package metrics

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"redis-cert-agent/agent/status"
)

const prefix = "redis_cert_agent_"

// describe describes a metric that is read off the board.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prefix+name, help, labels, nil)
}

var (
	notAfter   = describe("certificate_not_after_timestamp_seconds", "When a certificate ends.", "path", "role", "server", "subject", "where")
	notBefore  = describe("certificate_not_before_timestamp_seconds", "When a certificate begins.", "path", "role", "server", "subject", "where")
	info       = describe("certificate_info", "Which certificate it is; always 1.", "path", "role", "server", "subject", "where", "issuer", "serial")
	unreadable = describe("certificate_unreadable", "A file that is watched and cannot be read; always 1.", "path", "server", "where")

	renewalDue   = describe("renewal_due_timestamp_seconds", "When the agent renews the newest certificate; missing where another program renews.")
	attempts     = describe("issue_attempts_total", "Attempts to get a certificate, by outcome: success, failure, refused (one was given and is of no use).", "issuer", "outcome")
	issueSuccess = describe("issue_last_success_timestamp_seconds", "When an authority last gave a certificate.", "issuer")
	issueFailure = describe("issue_last_failure_timestamp_seconds", "When an authority last gave none.", "issuer")
	limitUsed    = describe("issue_limit_used_ratio", "How much of a limit of Let's Encrypt this host has taken, from 0 to 1; of names and pairs, the one with the most. Missing where nothing is taken, and of other authorities.", "issuer", "limit")
	rotations    = describe("rotations_total", "New certificates that every server has proved.")

	wake           = describe("next_wake_timestamp_seconds", "When the agent looks again at the latest, if nothing wakes it before; missing while it works.")
	attemptsLeft   = describe("issue_attempts_left", "How often a certificate can be asked for before the newest one ends, if each attempt fails; missing where another program renews.")
	rehearsalTime  = describe("rehearsal_timestamp_seconds", "When everything that a renewal needs was last tried for the newest certificate; missing before half of the time to the renewal.")
	rehearsalFault = describe("rehearsal_faults", "What would stop a renewal, or the news of it, by the last rehearsal and, of authorities, by the latest look at each: authority, disk, server, notify.", "need")

	up     = describe("server_up", "Whether the last look got a TLS handshake from a server.", "server")
	proven = describe("server_proven", "Whether a handshake showed the newest certificate, as a client would accept it.", "server")
	awaits = describe("server_awaits_restart", "Whether a Sentinel, which loads its files only when it starts, shows another certificate than the newest; missing for other servers.", "server")
	drift  = describe("server_drift", "Whether a server shows another certificate than the newest on disk; 0 while it is not reached.", "server")

	lastLook = describe("last_look_timestamp_seconds", "When the agent last looked at the disk and at each server: the time of all gauges.")
	synced   = describe("clock_synchronized", "Whether the system clock is synchronized.")
	healthy  = describe("healthy", "Whether nothing is critical.")
	problems = describe("problems", "What needs a person, or soon will.", "severity")

	pairDue      = describe("pair_renewal_due_timestamp_seconds", "When the agent renews a client's pair.", "pair")
	pairProblems = describe("pair_problems", "What is wrong with a client's pair; among problems as well.", "pair")
)

// A boardCollector collects what the agent last knew. Before the first look that
// is nothing.
type boardCollector struct{ board *status.Board }

// Describe implements prometheus.Collector.
func (boardCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		notAfter, notBefore, info, unreadable, renewalDue, attempts, issueSuccess, issueFailure, limitUsed, rotations,
		wake, attemptsLeft, rehearsalTime, rehearsalFault, up, proven, awaits, drift, lastLook, synced, healthy, problems,
		pairDue, pairProblems,
	} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (c boardCollector) Collect(to chan<- prometheus.Metric) {
	s := c.board.Get()
	if s.Looked.IsZero() {
		return
	}
	scrape{to, map[series]bool{}}.status(s)
}

// A scrape is the metrics of one status, of which it takes each series once:
// what cannot be told apart does not spoil the rest.
type scrape struct {
	to   chan<- prometheus.Metric
	have map[series]bool
}

type series struct {
	*prometheus.Desc
	labels string
}

// add adds a sample unless there is one of the same labels, and says whether it
// did.
func (s scrape) add(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) bool {
	clean := make([]string, len(labels))
	for i, v := range labels {
		clean[i] = valid(v)
	}
	key := series{d, strings.Join(clean, "\xff")} // which no value has
	if s.have[key] {
		return false
	}
	s.have[key] = true
	s.to <- prometheus.MustNewConstMetric(d, kind, value, clean...)
	return true
}

func (s scrape) gauge(d *prometheus.Desc, value float64, labels ...string) bool {
	return s.add(d, prometheus.GaugeValue, value, labels...)
}

// time adds t, unless it is not known.
func (s scrape) time(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.gauge(d, seconds(t), labels...)
	}
}

// truth adds 1 or 0.
func (s scrape) truth(d *prometheus.Desc, b bool, labels ...string) {
	value := 0.0
	if b {
		value = 1
	}
	s.gauge(d, value, labels...)
}

func (s scrape) count(d *prometheus.Desc, n int, labels ...string) {
	s.add(d, prometheus.CounterValue, float64(n), labels...)
}

func (s scrape) status(st status.Status) {
	certificates, authorities := st.Certificates, st.CAs
	for _, p := range st.Pairs {
		certificates, authorities = slices.Concat(certificates, p.Certificates), slices.Concat(authorities, p.CAs)
		s.time(pairDue, p.Due, p.Instance)
		s.gauge(pairProblems, float64(len(p.Problems())), p.Instance)
	}
	s.certificates(certificates)
	s.authorities(authorities)
	s.servers(st)
	s.time(renewalDue, st.Due)
	s.count(rotations, st.Rotations)
	s.rehearsal(st)

	found := map[status.Severity]int{}
	for _, p := range st.Problems() {
		found[p.Severity]++
	}
	for _, severity := range []status.Severity{status.Warning, status.Critical} {
		s.gauge(problems, float64(found[severity]), string(severity))
	}
	s.truth(healthy, st.Healthy())
	s.truth(synced, st.Synchronised)
	s.time(lastLook, st.Looked)
}

// certificates adds all that can expire. Of several that look alike, as two
// intermediates of one subject do in a bundle, the one that ends first counts:
// only its issuer and serial are shown, since a query that joins by the other
// labels needs one of each.
func (s scrape) certificates(all []status.Certificate) {
	all = slices.Clone(all)
	sort.SliceStable(all, func(i, j int) bool { return all[i].NotAfter.Before(all[j].NotAfter) })
	for _, c := range all {
		if c.Error != "" {
			s.gauge(unreadable, 1, c.Path, c.Server, c.Where)
			continue
		}
		labels := []string{c.Path, string(c.Role), c.Server, c.Subject, c.Where}
		if !s.gauge(notAfter, seconds(c.NotAfter), labels...) {
			continue
		}
		s.time(notBefore, c.NotBefore, labels...)
		s.gauge(info, 1, append(labels, c.Issuer, c.Serial)...)
	}
}

// authorities adds how the authorities did. Two of one address, as two
// provisioners of one CA, count as one.
func (s scrape) authorities(all []status.CA) {
	sums := map[string]status.CA{}
	for _, ca := range all {
		sum := sums[ca.URL]
		sum.Succeeded += ca.Succeeded
		sum.Failed += ca.Failed
		sum.Refused += ca.Refused
		sum.LastSuccess = later(sum.LastSuccess, ca.LastSuccess)
		sum.LastFailure = later(sum.LastFailure, ca.LastFailure)
		sum.Limits = append(sum.Limits, ca.Limits...)
		sums[ca.URL] = sum
	}
	for url, ca := range sums {
		s.count(attempts, ca.Succeeded, url, success)
		s.count(attempts, ca.Failed, url, failure)
		s.count(attempts, ca.Refused, url, refused)
		s.time(issueSuccess, ca.LastSuccess, url)
		s.time(issueFailure, ca.LastFailure, url)
		slices.SortFunc(ca.Limits, func(a, b status.Limit) int { return b.Used*a.Most - a.Used*b.Most })
		for _, l := range ca.Limits {
			s.gauge(limitUsed, float64(l.Used)/float64(l.Most), url, l.Limit)
		}
	}
}

// rehearsal adds what comes next, and what was found of it.
func (s scrape) rehearsal(st status.Status) {
	s.time(wake, st.Wake)
	if st.Newest() != nil && !st.MonitorOnly {
		s.gauge(attemptsLeft, float64(st.AttemptsLeft))
	}
	found := map[status.Need]int{}
	for _, f := range st.Rehearsal.Faults() {
		found[f.Need]++
	}
	// A password can be changed after the rehearsal: the authority's own faults show that
	// within a day.
	found[status.NeedAuthority] = max(found[status.NeedAuthority], st.FaultyCAs())
	if st.Rehearsal != nil {
		s.time(rehearsalTime, st.Rehearsal.At)
	}
	for _, need := range status.Needs {
		if st.Rehearsal != nil || found[need] > 0 {
			s.gauge(rehearsalFault, float64(found[need]), string(need))
		}
	}
}

func (s scrape) servers(st status.Status) {
	newest := st.Pending
	if newest == nil {
		newest = st.Pair
	}
	for _, server := range st.Servers {
		reached := server.ServedSerial != ""
		s.truth(up, reached, server.Address)
		s.truth(proven, server.State == status.Proven, server.Address)
		if server.Sentinel {
			s.truth(awaits, server.State == status.Stale, server.Address)
		}
		s.truth(drift, reached && newest != nil && server.ServedSerial != newest.Serial, server.Address)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
