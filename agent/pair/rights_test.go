package pair

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"redis-cert-agent/reload/redistest"
)

// theirs makes a fixture whose plain paths are in a directory of nobody, beside a pair
// that only root may read.
func theirs(t *testing.T) (h *fixture, secret redistest.Files) {
	t.Helper()
	needsRoot(t, "cannot make a directory of another user")
	h = newFixture(t, true)
	h.wide()
	secret = redistest.Files{Cert: filepath.Join(h.root, "other.crt"), Key: filepath.Join(h.root, "other.key"), CA: filepath.Join(h.root, "other-ca.crt")}
	lay(t, secret, issue(t)) // mode 0600
	h.must(os.Chown(filepath.Dir(h.opts.Paths.Cert), nobody, nobody))
	return h, secret
}

// Root does not take in, through links in a directory of another user, what that user
// may not read.
func TestRootTakesInOnlyWhatTheOwnerMayRead(t *testing.T) {
	h, secret := theirs(t)
	h.must(os.Symlink(secret.Cert, h.opts.Paths.Cert))
	h.must(os.Symlink(secret.Key, h.opts.Paths.Key))
	h.open()
	st := h.load()
	if st.Foreign == nil || st.Foreign.Pair != nil {
		t.Fatalf("foreign is %+v", st.Foreign)
	}
	wantErr(t, st.Foreign.Err, h.opts.Paths.Key, "permission denied for user 65534, who owns "+filepath.Dir(h.opts.Paths.Key), "only what that user could")
	if _, err := h.store.Adopt(st.Foreign, Origin{}); err == nil {
		t.Error("it was adopted")
	}
	// The links are replaced, and what they led to stays and is copied nowhere.
	h.put(issue(t))
	h.must(relink(h.store))
	if len(h.found()) != 0 {
		t.Errorf("found has %v", h.found())
	}
	h.parse(secret)
}

// What the user may read is taken in as ever, and the links belong to the user.
func TestRootTakesInWhatTheOwnerMayRead(t *testing.T) {
	h, _ := theirs(t)
	p := issue(t)
	lay(t, h.files(), p)
	for _, path := range []string{h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA} {
		h.must(os.Chown(path, nobody, nobody))
	}
	h.open()
	_, err := h.store.Adopt(h.load().Foreign, Origin{})
	h.must(err)
	h.wantLinked(p)
	fi, err := os.Lstat(h.opts.Paths.Key)
	h.must(err)
	if uid := fi.Sys().(*syscall.Stat_t).Uid; uid != nobody {
		t.Errorf("the link belongs to user %d", uid)
	}
}

// Where the directory leads elsewhere meanwhile, root replaces nothing there.
func TestRootReplacesOnlyWhatTheOwnerMay(t *testing.T) {
	h, secret := theirs(t)
	h.open()
	h.put(issue(t))
	tls, elsewhere := filepath.Dir(h.opts.Paths.Cert), filepath.Join(h.root, "elsewhere")
	h.must(os.Mkdir(elsewhere, 0o755))
	for _, path := range []string{h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA} {
		h.must(os.Rename(secret.Cert, filepath.Join(elsewhere, filepath.Base(path))))
		lay(t, secret, issue(t))
	}
	h.opts.Paths.Cert, h.opts.Paths.Key, h.opts.Paths.CA = under(tls, h.opts.Paths.Cert), under(tls, h.opts.Paths.Key), under(tls, h.opts.Paths.CA)
	h.must(os.Symlink(elsewhere, filepath.Join(tls, "sub")))
	h.must(os.Lchown(filepath.Join(tls, "sub"), nobody, nobody))
	h.store.Close()
	h.open()
	if err := relink(h.store); err == nil {
		t.Error("files of root's were replaced")
	}
	for _, path := range tree(t, elsewhere)[1:] {
		if fi, err := os.Lstat(path); err != nil || !fi.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", path, fi, err)
		}
	}
}

func under(dir, path string) string { return filepath.Join(dir, "sub", filepath.Base(path)) }

// The same while the user changes files and links all the time.
func TestRootIsNotRaced(t *testing.T) {
	h, secret := theirs(t)
	own := issue(t)
	h.open()
	lay(t, h.files(), own)
	var stop atomic.Bool
	done := make(chan error, 1)
	go func() {
		var err error
		for !stop.Load() && err == nil {
			for _, p := range [][2]string{{secret.Cert, h.opts.Paths.Cert}, {secret.Key, h.opts.Paths.Key}} {
				err = errors.Join(err, os.Symlink(p[0], p[1]+".link"), os.Rename(p[1]+".link", p[1]))
			}
			for path, text := range map[string][]byte{h.opts.Paths.Cert: own.CertPEM(), h.opts.Paths.Key: keyPEM(t, own)} {
				err = errors.Join(err, os.WriteFile(path+".file", text, 0o644), os.Rename(path+".file", path))
			}
		}
		done <- err
	}()
	for range 500 {
		if f := h.load().Foreign; f != nil && f.Pair != nil && f.Pair.Fingerprint() != own.Fingerprint() {
			t.Fatal("root took in what only root may read")
		}
	}
	stop.Store(true)
	h.must(<-done)
}

// In a directory of root's where a group or everybody can make links, root follows and
// replaces nothing; with the sticky bit, nothing that is not root's.
func TestRootFollowsNobodyInItsOwnDirectory(t *testing.T) {
	for name, tt := range map[string]struct {
		mode  os.FileMode
		links int // their owner
		fine  bool
	}{
		"root's alone":                 {0o755, 0, true},
		"a group's":                    {0o775, 0, false},
		"a group's, closed to others":  {0o770, nobody, false},
		"everybody's":                  {0o777, 0, false},
		"sticky, with root's links":    {0o777 | os.ModeSticky, 0, true},
		"sticky, with links of others": {0o777 | os.ModeSticky, nobody, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, secret := theirs(t)
			tls := filepath.Dir(h.opts.Paths.Cert)
			h.must(os.Chown(tls, 0, nobody))
			h.must(os.Chmod(tls, tt.mode))
			for from, to := range map[string]string{secret.Cert: h.opts.Paths.Cert, secret.Key: h.opts.Paths.Key, secret.CA: h.opts.Paths.CA} {
				h.must(os.Symlink(from, to))
				h.must(os.Lchown(to, tt.links, -1))
			}
			h.open()
			f := h.load().Foreign
			if got := f != nil && f.Pair != nil; got != tt.fine {
				t.Fatalf("taken in: %t, %+v", got, f)
			}
			h.put(issue(t))
			err := relink(h.store)
			if tt.fine {
				h.must(err)
				return
			}
			wantErr(t, f.Err, "can put links into "+tls, "root does not follow these", "chmod go-w "+tls)
			wantErr(t, err, "can put links into "+tls)
			if to, err := os.Readlink(h.opts.Paths.Key); err != nil || to != secret.Key {
				t.Errorf("the key leads to %s, %v", to, err)
			}
		})
	}
}
