package authority

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"redis-cert-agent/agent/disk"

	step "github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/provisioner"
	"github.com/smallstep/certificates/db"
	bbolt "go.etcd.io/bbolt/errors"
)

// RunOptions say how Start serves an authority. All of it is optional.
type RunOptions struct {
	// Address overrides the one in ca.json. Port 0 takes a free port.
	Address string

	// Log is told each issuance, renewal, revocation and refusal, one record
	// each, and nothing that is secret. Nothing is logged when it is nil.
	Log *slog.Logger

	// ACMEHTTPPort and ACMETLSPort are where http-01 and tls-alpn-01
	// challenges are looked for instead of 80 and 443, and ACMEResolver is the
	// DNS server (host:port, UDP or TCP) that is asked for the names.
	ACMEHTTPPort, ACMETLSPort int
	ACMEResolver              string
}

// Running is an authority that answers. Close ends it.
type Running struct {
	URL             string // https://name:port, with the port it really listens on
	Address         string // host:port it listens on
	Fingerprint     string // SHA-256 of the first root, 64 hex digits
	ProvisionerName string // of the JWK provisioner
	Password        []byte // of the JWK provisioner; nil if its file is elsewhere
	PasswordFile    string
	RootCertificate *x509.Certificate
	ACMEDirectory   string // URL; empty without ACME

	server    *http.Server
	authority *step.Authority
	done      chan struct{} // closed when the server has ended
	serveErr  error         // why; read only after done
	closeOnce sync.Once
	closeErr  error
}

// closeTimeout bounds how long Close waits for requests that are under way.
const closeTimeout = 3 * time.Second

// Start serves the authority in dir and returns once it has answered a health
// check. The directory and the secrets in it must be closed to others.
//
// ErrNotFound and ErrRunning tell apart two of the reasons to fail.
func Start(dir string, o RunOptions) (*Running, error) {
	cfg, password, err := load(dir)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", dir, err)
	}
	if o.Address != "" {
		cfg.Address = o.Address
	}
	ln, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("%w: stop what uses the port, or choose another address", err)
	}
	cfg.Address = ln.Addr().String()
	r, err := serve(cfg, password, ln, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", dir, err), ignoreClosed(ln.Close()))
	}
	r.PasswordFile = PasswordFile(dir)
	// An authority that came from elsewhere may keep this password elsewhere.
	if r.Password, err = readSecret(r.PasswordFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("start %s: %w", dir, err), r.Close())
	}
	if err := r.health(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: health check: %w", dir, err), r.Close())
	}
	if err := recordServed(dir, r.authority.GetRootCertificates()); err != nil && o.Log != nil {
		o.Log.Warn("cannot note since when these roots are served: redis-cert-ca rotate does not know when its next step is safe", "error", err)
	}
	return r, nil
}

// load reads the configuration in dir and the password of the signing key.
func load(dir string) (*config.Config, []byte, error) {
	fi, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: make one with `redis-cert-ca init`", ErrNotFound)
	}
	if err != nil {
		return nil, nil, err
	}
	if fi.Mode()&0o077 != 0 {
		return nil, nil, fmt.Errorf("mode %#o lets others into the directory of the CA's keys: chmod 0700 %s", fi.Mode().Perm(), dir)
	}
	file := filepath.Join(dir, configFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w (%s is missing): make one with `redis-cert-ca init`", ErrNotFound, configFile)
	}
	cfg, err := config.LoadConfiguration(file)
	if err != nil {
		return nil, nil, err
	}
	// Validation writes to the TLS options, which are a variable of the
	// package where ca.json has none; every authority gets its own.
	options := *cfg.TLS
	cfg.TLS = &options
	password, err := readSecret(filepath.Join(dir, passwordFile))
	if err != nil {
		return nil, nil, err
	}
	return cfg, password, nil
}

// readSecret reads a password, without the line end that an editor adds, from
// a file that nobody but its owner may touch.
func readSecret(path string) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.Mode()&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %#o lets others read the secret: chmod 0600 %s", path, fi.Mode().Perm(), path)
	}
	data, err := disk.Read(path, 64<<10)
	return bytes.TrimRight(data, "\r\n"), err
}

// serve opens the database, makes the authority and serves it on ln. It leaves
// ln to its caller when it fails.
func serve(cfg *config.Config, password []byte, ln net.Listener, o RunOptions) (*Running, error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	database, err := openDatabase(cfg.DB)
	if err != nil {
		return nil, err
	}
	auth, err := step.New(cfg, step.WithPassword(password), step.WithDatabase(database), step.WithQuietInit(),
		step.WithWebhookClient(&http.Client{Timeout: 15 * time.Second}))
	if err != nil {
		return nil, errors.Join(err, database.Shutdown())
	}
	handler, ctx, err := newHandler(auth, o)
	if err != nil {
		return nil, errors.Join(err, auth.Shutdown())
	}
	tlsConfig, err := newTLSConfig(auth, cfg)
	if err != nil {
		return nil, errors.Join(err, auth.Shutdown())
	}
	// Without HTTP/2, Shutdown closes idle connections at once: of HTTP/2 it
	// says goodbye to each client first, and waits a second for that.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	root := auth.GetRootCertificates()[0]
	r := &Running{
		URL:             serverURL(cfg.DNSNames[0], cfg.Address),
		Address:         cfg.Address,
		Fingerprint:     fingerprint(root),
		RootCertificate: root,
		authority:       auth,
		done:            make(chan struct{}),
		server: &http.Server{
			Handler:      logged(handler, log),
			TLSConfig:    tlsConfig,
			Protocols:    protocols,
			BaseContext:  func(net.Listener) context.Context { return ctx },
			ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelWarn),
			ReadTimeout:  15 * time.Second,
			WriteTimeout: 45 * time.Second, // an ACME challenge may take 30 (see acme.go)
			IdleTimeout:  15 * time.Second,
		},
	}
	r.nameProvisioners(cfg.AuthorityConfig.Provisioners)
	go func() {
		defer close(r.done)
		r.serveErr = r.server.ServeTLS(ln, "", "")
	}()
	return r, nil
}

// openDatabase opens the database that c describes.
func openDatabase(c *db.Config) (db.AuthDB, error) {
	database, err := db.New(c)
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("%w (%s is locked): stop it first", ErrRunning, c.DataSource)
	}
	if err != nil {
		return nil, err
	}
	if c != nil && c.Type == "bbolt" {
		err = disk.GiveToOwner(c.DataSource)
	}
	if err != nil {
		return nil, errors.Join(err, database.Shutdown())
	}
	return database, nil
}

func (r *Running) nameProvisioners(list provisioner.List) {
	for _, p := range list {
		switch {
		case p.GetType() == provisioner.TypeJWK && r.ProvisionerName == "":
			r.ProvisionerName = p.GetName()
		case p.GetType() == provisioner.TypeACME && r.ACMEDirectory == "":
			r.ACMEDirectory = r.URL + "/acme/" + p.GetName() + "/directory"
		}
	}
}

// health asks the authority how it is, as a client would who trusts its root
// and knows it by its first name; but at the address it listens on.
func (r *Running) health() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AddCert(r.RootCertificate)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.Address)
		},
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/health", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", req.URL, resp.Status)
	}
	return nil
}

// Done is closed when the authority no longer serves: after Close, or because
// its listener failed, which Close then tells.
func (r *Running) Done() <-chan struct{} { return r.done }

// Close ends the authority: requests under way may finish for three seconds,
// then the port and the database are free again. It may be called repeatedly.
func (r *Running) Close() error {
	r.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		err := r.server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = r.server.Close()
		}
		<-r.done
		if !errors.Is(r.serveErr, http.ErrServerClosed) {
			err = errors.Join(r.serveErr, err)
		}
		r.closeErr = errors.Join(ignoreClosed(err), r.authority.Shutdown())
	})
	return r.closeErr
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
