package acme

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/ca/acme/acmetest"
	"redis-cert-agent/agent/cert"

	"github.com/letsencrypt/pebble/v2/wfe"
)

func newLeaf(t testing.TB) *x509.Certificate {
	t.Helper()
	_, chain := acmetest.NewServerChain(t)
	return chain.Leaf
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	var fail func(http.ResponseWriter)
	p := startPebble(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if fail == nil || !strings.Contains(r.URL.Path, "renewalInfo") {
			return false
		}
		fail(w)
		return true
	}})
	o := p.options(t)
	c := New(o)
	chain := issue(t, c, ca.Request{}).Chain
	why := ""
	ask := func() (time.Time, time.Time, time.Duration, error) {
		got, err := c.Suggest(t.Context(), chain[0], chain[1])
		why = got.Explanation
		return got.From, got.To, got.Again, err
	}

	start, end, again, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	if !start.After(chain[0].NotBefore) || !end.After(start) || !end.Before(chain[0].NotAfter) {
		t.Errorf("window %s to %s of %s to %s", start, end, chain[0].NotBefore, chain[0].NotAfter)
	}
	if again != defaultAgain { // Pebble names no time
		t.Errorf("again in %s, want %s", again, defaultAgain)
	}

	// The CA wants it renewed now, and says why.
	past := time.Now().Add(-2 * time.Hour).Truncate(time.Second).UTC()
	p.Window(t, chain[0], fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q},"explanationURL":"https://ca.test/why"}`,
		past.Format(time.RFC3339), past.Add(time.Hour).Format(time.RFC3339)))
	if start, end, _, err = ask(); err != nil || !start.Equal(past) || !end.Equal(past.Add(time.Hour)) {
		t.Errorf("window %s to %s, %v; want the hour from %s", start, end, err, past)
	}
	if why != "https://ca.test/why" {
		t.Errorf("explained by %q", why)
	}

	for _, bad := range []string{`{}`, `[]`, `hello`, `{"suggestedWindow":{"start":"2030-01-02T00:00:00Z","end":"2030-01-02T00:00:00Z"}}`} {
		p.Window(t, chain[0], bad)
		start, end, again, err := ask()
		if err == nil || !start.IsZero() || !end.IsZero() || again != 0 {
			t.Fatalf("%s: window %s to %s, %v", bad, start, end, err)
		}
		says(t, checked(t, c, err), "renewal information: ")
	}

	fail = func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "120")
		acmetest.Problem(w, http.StatusServiceUnavailable, "serverInternal", `"detail":"overloaded"`)
	}
	before := p.Count("renewalInfo")
	_, _, _, err = ask()
	if err == nil {
		t.Fatal("no error")
	}
	e := checked(t, c, err)
	says(t, e, "answers 503", "overloaded", "asks to wait 2m0s")
	if e.RetryAfter() != 2*time.Minute || p.Count("renewalInfo") != before+1 {
		t.Errorf("retry after %s, %d requests", e.RetryAfter(), p.Count("renewalInfo")-before)
	}

	// A certificate that the CA does not know.
	fail = func(w http.ResponseWriter) { http.Error(w, "who?", http.StatusNotFound) }
	if start, end, again, err := ask(); err != nil || !start.IsZero() || !end.IsZero() || again != mostAgain {
		t.Errorf("window %s to %s, again in %s, %v; want none", start, end, again, err)
	}

	for after, want := range map[string]time.Duration{"1": leastAgain, "7200": 2 * time.Hour, "999999999": mostAgain} {
		fail = func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", after)
			fmt.Fprint(w, `{"suggestedWindow":{"start":"2030-01-02T00:00:00Z","end":"2030-01-03T00:00:00Z"}}`)
		}
		if _, _, again, err := ask(); err != nil || again != want {
			t.Errorf("Retry-After %s: again in %s, %v; want %s", after, again, err, want)
		}
	}
}

// step-ca has no renewal information.
func TestSuggestNone(t *testing.T) {
	t.Parallel()
	s := useStepCA(t)
	c := New(s.options(t, HTTP01{}))
	if got, err := c.Suggest(t.Context(), newLeaf(t), nil); err != nil || got != (ca.Suggestion{Again: mostAgain}) {
		t.Errorf("%+v, %v; want none", got, err)
	}
}

// A certificate without an authority key identifier is named by its issuer.
func TestCertID(t *testing.T) {
	t.Parallel()
	leaf := *newLeaf(t)
	issuer := &x509.Certificate{SubjectKeyId: leaf.AuthorityKeyId}
	want, err := certID(&leaf, nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf.AuthorityKeyId = nil
	if got, err := certID(&leaf, issuer); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if id, err := certID(&leaf, nil); err == nil {
		t.Errorf("named %s without an issuer", id)
	}
}

// orders notes what newOrder requests say of the certificate they replace, and
// refuses a second replacement as Pebble would, which reads the flag for it
// without its lock.
type orders struct {
	sync.Mutex
	replaces []string
	done     map[string]bool
}

func (o *orders) watch(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/order-plz" {
		return false
	}
	id := o.note(acmetest.Payload(r))
	o.Lock()
	defer o.Unlock()
	if o.done[id] {
		acmetest.Problem(w, http.StatusConflict, "alreadyReplaced", `"detail":"it has a replacement order"`)
		return true
	}
	o.done = map[string]bool{id: id != ""}
	return false
}

// note notes which certificate an order replaces.
func (o *orders) note(payload string) (id string) {
	if _, rest, ok := strings.Cut(payload, `"replaces":"`); ok {
		id, _, _ = strings.Cut(rest, `"`)
	}
	o.Lock()
	defer o.Unlock()
	o.replaces = append(o.replaces, id)
	return id
}

func (o *orders) take() []string {
	o.Lock()
	defer o.Unlock()
	had := o.replaces
	o.replaces = nil
	return had
}

func TestReplaces(t *testing.T) {
	t.Parallel()
	var seen orders
	p := startPebble(t, shape{Answer: seen.watch})
	c := New(p.options(t))
	names := []string{"redis1.internal"}
	first := good(t, issue(t, c, ca.Request{}), names, cert.P256)
	id, err := certID(first.Leaf(), nil)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, r ca.Request, want ...string) {
		t.Helper()
		issue(t, c, r)
		// A nonce that the test made up is refused once, and the order repeated.
		if got := slices.Compact(seen.take()); !slices.Equal(got, want) {
			t.Errorf("%s: orders replace %q, want %q", what, got, want)
		}
	}
	seen.take()
	expect("nothing to renew", ca.Request{}, "")
	expect("renewal", ca.Request{Current: first}, id)
	expect("renewed already", ca.Request{Current: first}, id, "")
	expect("other names", ca.Request{Current: first, Fresh: true}, "")

	// Of another CA, which this one does not know.
	other := startPebble(t, shape{})
	foreign := good(t, issue(t, New(other.options(t)), ca.Request{}), names, cert.P256)
	seen.take()
	issue(t, c, ca.Request{Current: foreign})
	if got := seen.take(); len(got) < 2 || got[0] == "" || got[len(got)-1] != "" {
		t.Errorf("another CA's: orders replace %q, want a last one without", got)
	}
}

// An order is repeated once without the certificate that it replaces, whatever the CA
// has against that, and once only.
func TestReplacesRefused(t *testing.T) {
	t.Parallel()
	var seen orders
	var refuse func(http.ResponseWriter)
	p := startPebble(t, shape{Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/order-plz" {
			return false
		}
		if refuse == nil || !strings.Contains(acmetest.Payload(r), "replaces") {
			return seen.watch(w, r)
		}
		seen.note(acmetest.Payload(r))
		refuse(w)
		return true
	}})
	problem := func(status int, kind string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { acmetest.Problem(w, status, kind, fmt.Sprintf(`"status":%d`, status)) }
	}
	c := New(p.options(t))
	first := good(t, issue(t, c, ca.Request{}), []string{"redis1.internal"}, cert.P256)
	id, err := certID(first.Leaf(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"replaced already":        problem(http.StatusConflict, "alreadyReplaced"),
		"of another account":      problem(http.StatusForbidden, "unauthorized"),
		"malformed":               problem(http.StatusBadRequest, "malformed"),
		"unknown":                 problem(http.StatusNotFound, "malformed"),
		"a type of the CA's own":  problem(http.StatusUnprocessableEntity, "orderReplacementMismatch"),
		"a proxy in front of it":  func(w http.ResponseWriter) { http.Error(w, "no such field", http.StatusBadRequest) },
		"no reason, not JSON":     func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) },
		"in a body that is empty": func(w http.ResponseWriter) { w.WriteHeader(http.StatusConflict) },
	} {
		refuse = answer
		seen.take()
		issue(t, c, ca.Request{Current: first})
		// The nonce that the test made up is refused once, and the order repeated.
		if got := slices.Compact(seen.take()); !slices.Equal(got, []string{id, ""}) {
			t.Errorf("%s: orders replace %q, want %q and then nothing", name, got, id)
		}
	}

	// What is not about the certificate that is replaced is not asked again.
	for name, answer := range map[string]func(http.ResponseWriter){
		"limits": problem(http.StatusTooManyRequests, "rateLimited"),
		"policy": problem(http.StatusForbidden, "rejectedIdentifier"),
	} {
		refuse = answer
		seen.take()
		refused(t, c, ca.Request{Current: first})
		if got := slices.Compact(seen.take()); !slices.Equal(got, []string{id}) {
			t.Errorf("%s: orders replace %q, want one order", name, got)
		}
	}
}

// Trouble with renewal information does not hold up a certificate.
func TestDownloadAsksForNoWindow(t *testing.T) {
	t.Parallel()
	p := startPebble(t, shape{Chains: 1, Answer: func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "renewalInfo") {
			return false
		}
		<-r.Context().Done()
		return true
	}})
	issue(t, New(p.options(t)), ca.Request{})
	if n := p.Count("renewalInfo"); n > 0 {
		t.Errorf("%d requests for renewal information", n)
	}
	if p.Count(wfe.DirectoryPath) != 1 {
		t.Error("the directory was read more than once")
	}
}
