package agent

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"redis-cert-agent/agent/ca"
	"redis-cert-agent/agent/cert"
	"redis-cert-agent/agent/pair"
	"redis-cert-agent/agent/plan"
	"redis-cert-agent/agent/status"
	"redis-cert-agent/reload"
)

// The tests of this file and its neighbours run the loop for days in a bubble
// of testing/synctest, which a real redis-server and a real CA cannot enter.
// They stand in for them; the pair on disk is real. The tests of cmd run the
// same loop against the real ones.

// fakes orders what the tests change in the fakes before what the loop sees of
// them: the passing of time in a bubble does not.
var fakes sync.Mutex

// pass lets time pass in the bubble, and whatever it wakes come to rest.
func pass(d time.Duration) {
	fakes.Lock()
	//lint:ignore SA2001 the lock is for the order alone
	fakes.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

// A testCA is an Issuer of its own making.
type testCA struct {
	t        *testing.T
	root     *x509.Certificate
	key      crypto.Signer
	lifetime time.Duration
	err      error                     // what Issue answers instead of a certificate
	spoil    func(c *x509.Certificate) // changes the template
	roots    []*x509.Certificate       // with which it was asked last
	refuses  error                     // what Inspect finds
	dawdles  time.Duration             // how long Inspect takes
	ahead    time.Duration             // by how much this host's clock is ahead of its
	chain    bool                      // it sends its root behind the leaf
	names    []*x509.Certificate       // the roots that it names; nil: its own
	issued   int
	asked    int

	revoked []string // serial numbers, in the order in which they were
	keeps   error    // what Revoke answers instead
}

func (c *testCA) Revoke(_ context.Context, r ca.Revocation) error {
	fakes.Lock()
	defer fakes.Unlock()
	if c.keeps != nil {
		return c.keeps
	}
	if r.Pair.Key == nil {
		return errors.New("the key is gone")
	}
	c.revoked = append(c.revoked, cert.Serial(r.Pair.Leaf()))
	return nil
}

func newTestCA(t *testing.T, lifetime time.Duration) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCA{t: t, key: key, lifetime: lifetime}
	c.root = c.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Root"},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(30, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, key.Public())
	return c
}

func (c *testCA) sign(template, parent *x509.Certificate, pub crypto.PublicKey) *x509.Certificate {
	c.t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	return leaf
}

// another is an authority with the same root, which counts for itself.
func (c *testCA) another() *testCA {
	fakes.Lock()
	defer fakes.Unlock()
	a := *c
	return &a
}

func (c *testCA) Issue(_ context.Context, r ca.Request) (ca.Issued, error) {
	fakes.Lock()
	defer fakes.Unlock()
	c.asked++
	c.roots = r.Roots
	if c.err != nil {
		return ca.Issued{}, c.err
	}
	c.issued++
	key, err := cert.GenerateKey(r.KeyType)
	if err != nil {
		return ca.Issued{}, err
	}
	dns, ips := cert.SplitNames(r.Names)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(100 + c.issued)), Subject: pkix.Name{CommonName: r.Names[0]},
		DNSNames: dns, IPAddresses: ips,
		NotBefore: time.Now().Truncate(time.Second), NotAfter: time.Now().Add(c.lifetime).Truncate(time.Second),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if c.spoil != nil {
		c.spoil(template)
	}
	leaf := c.sign(template, c.root, key.Public())
	chain := []*x509.Certificate{leaf}
	if c.chain {
		chain = append(chain, c.root)
	}
	return ca.Issued{Chain: chain, Key: key, Roots: c.named(), Issuer: "the test CA", Method: "sign", Ahead: c.ahead}, nil
}

func (c *testCA) named() []*x509.Certificate {
	if c.names != nil {
		return c.names
	}
	return []*x509.Certificate{c.root}
}

// Named implements ca.Namer.
func (c *testCA) Named(context.Context, []*x509.Certificate) (ca.Named, error) {
	fakes.Lock()
	defer fakes.Unlock()
	if c.err != nil {
		return ca.Named{}, c.err
	}
	return ca.Named{Roots: c.named()}, nil
}

// move has the authority sign below the root of another, and name these.
func (c *testCA) move(to *testCA, names ...*x509.Certificate) {
	fakes.Lock()
	defer fakes.Unlock()
	c.root, c.key, c.names = to.root, to.key, names
}

func (c *testCA) Inspect(context.Context, []*x509.Certificate) (time.Duration, error) {
	fakes.Lock()
	ahead, refuses, dawdles := c.ahead, c.refuses, c.dawdles
	fakes.Unlock()
	time.Sleep(dawdles)
	return ahead, refuses
}

// A testRedis loads what is on disk when it starts and when it is told to.
type testRedis struct {
	dir                  string
	serves               *cert.Pair
	down                 bool          // nothing answers
	says                 error         // what it answers to CONFIG SET instead of OK
	lies                 bool          // it says OK and loads nothing
	client               bool          // it presents the pair as a client
	links                reload.Links  // of it to others
	itself               time.Duration // it looks for changed files itself
	sentinel             bool
	caFile               string // its tls-ca-cert-file
	peerName, clientUser string
	denies               error        // what it answers to questions for its settings
	group                reload.Group // of a Sentinel
	loaded               func()       // is called when it has read its files again
	reloads              int
	looks                int
}

// start loads the pair as a redis-server does that starts now.
func (r *testRedis) start(t *testing.T) {
	t.Helper()
	r.down = false
	if err := r.read(); err != nil {
		t.Fatalf("a redis that starts now would not: %v", err)
	}
}

func (r *testRedis) read() error {
	var texts [3][]byte
	for i, name := range []string{"redis.crt", "redis.key", "ca.crt"} {
		text, err := os.ReadFile(filepath.Join(r.dir, "current", name))
		if err != nil {
			return err
		}
		texts[i] = text
	}
	p, err := cert.Parse(texts[0], texts[1], texts[2])
	if err == nil {
		r.serves = p
	}
	return err
}

func (r *testRedis) Served(context.Context, reload.Trust) (reload.Served, error) {
	fakes.Lock()
	defer fakes.Unlock()
	r.looks++
	if r.down || r.serves == nil {
		return reload.Served{}, reload.ErrUnreachable
	}
	return reload.Served{Chain: r.serves.Chain}, nil
}

func (r *testRedis) Reload(_ context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error) {
	if err := r.recognised(t); err != nil {
		return reload.Reloaded{}, err
	}
	if err := r.ready(l); err != nil {
		return reload.Reloaded{}, err
	}
	if err := r.reload(context.Background()); err != nil {
		return reload.Reloaded{}, err
	}
	return reload.Reloaded{Again: r.reload}, nil
}

// recognised counts passwords that are sent to who shows a certificate that is distrusted.
func (r *testRedis) recognised(t reload.Trust) error {
	fakes.Lock()
	defer fakes.Unlock()
	if !r.down && r.serves != nil && t.Distrusted != nil && t.Distrusted(r.serves.Leaf()) {
		return errors.Join(reload.ErrUnrecognised, reload.ErrDistrusted)
	}
	return nil
}

// ready has the newest pair put there before this redis is told, as package reload does.
func (r *testRedis) ready(l reload.Load) error {
	fakes.Lock()
	down, sentinel := r.down || r.serves == nil, r.sentinel
	fakes.Unlock()
	switch {
	case down:
		return reload.ErrUnreachable
	case sentinel || l.Ready == nil:
		return nil
	}
	return l.Ready(r.settings())
}

func (r *testRedis) reload(context.Context) error {
	fakes.Lock()
	defer fakes.Unlock()
	switch {
	case r.down || r.serves == nil:
		return reload.ErrUnreachable
	case r.sentinel:
		r.reloads++
		return reload.ErrDenied
	case r.says != nil:
		return r.says
	case r.lies:
		return nil
	}
	r.reloads++
	if err := r.read(); err != nil {
		return errors.Join(reload.ErrRefused, err)
	}
	if r.loaded != nil {
		r.loaded()
	}
	return nil
}

func (r *testRedis) Prove(_ context.Context, t reload.Trust, leaf *x509.Certificate) error {
	fakes.Lock()
	defer fakes.Unlock()
	if r.down || r.serves == nil {
		return reload.ErrUnreachable
	}
	if !r.serves.Leaf().Equal(leaf) {
		return errors.Join(reload.ErrRefused, reload.ErrOtherLeaf)
	}
	for _, name := range t.Names {
		if err := leaf.VerifyHostname(name); err != nil {
			return errors.Join(reload.ErrRefused, err)
		}
	}
	return nil
}

func (r *testRedis) Settings(context.Context, reload.Trust) (reload.Settings, error) {
	fakes.Lock()
	defer fakes.Unlock()
	if r.down || r.serves == nil {
		return reload.Settings{}, reload.ErrUnreachable
	}
	if r.denies != nil {
		return reload.Settings{}, r.denies
	}
	if r.sentinel {
		return reload.Settings{Sentinel: true}, nil
	}
	return r.settings(), nil
}

func (r *testRedis) settings() reload.Settings {
	return reload.Settings{
		AutoReload: r.itself, Cert: filepath.Join(r.dir, "current", "redis.crt"), CA: r.caFile, ClientAuth: r.client, Links: r.links,
		PeerName: r.peerName, ClientUser: r.clientUser,
	}
}

// A testServer is a redis that a test may replace by another one.
type testServer struct{ redis Redis }

func (s *testServer) now() Redis {
	fakes.Lock()
	defer fakes.Unlock()
	return s.redis
}

func (s *testServer) Served(ctx context.Context, t reload.Trust) (reload.Served, error) {
	return s.now().Served(ctx, t)
}

func (s *testServer) Reload(ctx context.Context, t reload.Trust, l reload.Load) (reload.Reloaded, error) {
	return s.now().Reload(ctx, t, l)
}

func (s *testServer) Prove(ctx context.Context, t reload.Trust, leaf *x509.Certificate) error {
	return s.now().Prove(ctx, t, leaf)
}

func (s *testServer) Settings(ctx context.Context, t reload.Trust) (reload.Settings, error) {
	return s.now().Settings(ctx, t)
}

// Group tells of the group of a Sentinel.
func (s *testServer) Group(context.Context, reload.Trust) (reload.Group, error) {
	r := s.now().(*testRedis)
	fakes.Lock()
	defer fakes.Unlock()
	if r.down {
		return reload.Group{}, reload.ErrUnreachable
	}
	return r.group, nil
}

// A bubbleAlarm is an Alarm on the bubble's clock.
type bubbleAlarm struct {
	timer *time.Timer
	c     chan struct{}
	sets  int
}

func newBubbleAlarm() *bubbleAlarm {
	a := &bubbleAlarm{c: make(chan struct{}, 1)}
	a.timer = time.AfterFunc(1<<62, a.ring)
	return a
}

func (a *bubbleAlarm) ring() {
	select {
	case a.c <- struct{}{}:
	default:
	}
}

func (a *bubbleAlarm) Set(t time.Time) error {
	a.sets++
	if t.IsZero() {
		a.timer.Stop()
	} else {
		a.timer.Reset(time.Until(t))
	}
	return nil
}

func (a *bubbleAlarm) C() <-chan struct{} { return a.c }
func (a *bubbleAlarm) Close() error       { a.timer.Stop(); return nil }

// A world is an agent with what it works on.
type world struct {
	t      *testing.T
	ca     *testCA
	redis  []*testRedis
	store  Store
	agent  *Agent
	alarm  *bubbleAlarm
	cancel context.CancelFunc
	done   chan error
	keep   int // previous generations that stay

	servers    []*testServer
	clockFault error // why the clock cannot be believed; nil when it can

	second  *testCA // asked when ca fails; may be nil
	watched string  // the path of a client certificate that is watched, and its content
	client  []byte
}

// replace puts another redis in the place of server i.
func (w *world) replace(i int, r Redis) {
	fakes.Lock()
	defer fakes.Unlock()
	w.servers[i].redis = r
}

// setClock says why the clock cannot be believed from now on; nil that it can.
func (w *world) setClock(fault error) {
	fakes.Lock()
	defer fakes.Unlock()
	w.clockFault = fault
}

func (w *world) clock(now time.Time) (time.Time, error) {
	fakes.Lock()
	defer fakes.Unlock()
	if w.clockFault != nil {
		return now.Add(time.Minute), w.clockFault
	}
	return time.Time{}, nil
}

// newWorld makes a CA of one-day certificates and n servers that are down.
func newWorld(t *testing.T, dir string, n int) *world {
	t.Helper()
	w := &world{t: t, ca: newTestCA(t, 24*time.Hour), keep: 3}
	for range n {
		w.redis = append(w.redis, &testRedis{dir: dir})
	}
	w.open(dir)
	return w
}

// loggedWorld returns a world whose agent logs to log.
func loggedWorld(t *testing.T, dir string, n int, log io.Writer) *world {
	t.Helper()
	w := newWorld(t, dir, n)
	w.store.Close()
	w.open(dir, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
	return w
}

// settledWorld returns a world whose agent runs, and whose servers have shown the first pair for
// a minute. It must be stopped.
func settledWorld(t *testing.T, dir string, n int) *world {
	t.Helper()
	w := newWorld(t, dir, n)
	w.settle()
	return w
}

func (w *world) settle() {
	w.t.Helper()
	w.run()
	synctest.Wait()
	for _, r := range w.redis {
		r.start(w.t)
	}
	pass(time.Minute)
}

// open makes the agent as after a start of the process.
func (w *world) open(dir string, change ...func(*Options)) {
	w.t.Helper()
	var err error
	w.store, err = pair.Open(pair.Options{Dir: dir, UID: -1, GID: -1, Mode: 0o640, Keep: w.keep})
	if err != nil {
		w.t.Fatal(err)
	}
	o := Options{
		Store: w.store, Authorities: []Authority{{Issuer: w.ca}}, Names: []string{"redis.internal", "127.0.0.1"}, KeyType: cert.P256,
		Policy: plan.Policy{Jitter: 0.05},
		Log:    slog.New(slog.NewTextHandler(w.t.Output(), nil)), Board: new(status.Board),
		Clock: w.clock,
	}
	w.servers = nil
	for _, r := range w.redis {
		w.servers = append(w.servers, &testServer{r})
		o.Servers = append(o.Servers, Server{Name: "redis", Redis: w.servers[len(w.servers)-1]})
	}
	for _, f := range change {
		f(&o)
	}
	w.agent = New(o)
}

// run starts the loop.
func (w *world) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	w.alarm, w.cancel, w.done = newBubbleAlarm(), cancel, make(chan error, 1)
	go func() { w.done <- w.agent.Run(ctx, w.alarm, nil) }()
}

// stop ends the loop and lets go of the pair, as the end of the process does.
func (w *world) stop() {
	w.t.Helper()
	w.cancel()
	if err := <-w.done; err != nil {
		w.t.Error(err)
	}
	w.alarm.Close()
	w.store.Close()
}

// renew asks as a person does, and lets the look that follows the answer end.
func (w *world) renew(force bool) error {
	err := w.agent.Renew(w.t.Context(), force)
	synctest.Wait()
	return err
}

// disk returns the leaf that a server that starts now would serve.
func (w *world) disk() *x509.Certificate {
	w.t.Helper()
	r := testRedis{dir: w.redis[0].dir}
	if err := r.read(); err != nil {
		w.t.Fatal(err)
	}
	return r.serves.Leaf()
}
