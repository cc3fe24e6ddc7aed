package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"redis-cert-agent/agent/disk"
)

// Adopt makes the pair of another program the current generation and links the
// plain paths to it: steps 1 to 3 of the package's order, so redis reads the
// same matching pair before, at each instant between, and after. The files are
// taken as they are, byte by byte. f comes from [Store.Load]; where Paths.CA is
// empty, or the CA shall become another, the caller may have set f.Pair.CA.
//
// The error is [ErrChanged] when the files are no longer those of f. On error
// redis still reads that pair, and nothing is half done that the next Adopt,
// Link or Switch would not complete.
func (s *Store) Adopt(f *Foreign, o Origin) (*Generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.adopt(f, o)
	if err != nil {
		return nil, fmt.Errorf("adopt: %w", err)
	}
	return g, nil
}

func (s *Store) adopt(f *Foreign, o Origin) (*Generation, error) {
	if f == nil || f.Pair == nil {
		return nil, errors.New("there is no whole pair to adopt")
	}
	v, err := s.look()
	if err != nil {
		return nil, err
	}
	if v.Foreign == nil || v.Foreign.Pair == nil || digest(v.Foreign.Pair.Chain) != digest(f.Pair.Chain) {
		return nil, ErrChanged
	}
	if err := s.replaceable(v); err != nil {
		return nil, err
	}
	t := v.text
	if digest(f.Pair.CA) != digest(v.CA) {
		t[caRole] = f.Pair.CAPEM()
	}
	g, err := s.put(t, f.Pair, o)
	if err != nil {
		return nil, err
	}
	if err := s.point(g.ID); err != nil {
		return nil, err
	}
	if v, err = s.look(); err != nil {
		return nil, err
	}
	return g, s.replaceAll(v)
}

// Link makes every plain path a symbolic link into `current`, also where there
// was no file. It does nothing when all is linked.
//
// When the plain files hold a matching pair that is not the current one, they
// become a generation of their own on the way (see the package's order), which
// in the end is moved to Dir/found: it was not adopted, and nothing may take it for the
// newest one. When they hold a broken one, or half of
// one, copies of what is nowhere else are kept in Dir/found. A path that cannot
// be replaced is an error that names it, before anything has changed.
//
// The error is [ErrChanged] when other plain paths are not linked than in seen, which
// comes from [Store.Load]: another program is at work, and may not have finished.
func (s *Store) Link(seen State) error {
	if s.paths == [3]string{} {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.look()
	switch {
	case err != nil:
	case !slices.Equal(v.Unlinked, seen.Unlinked):
		err = ErrChanged
	default:
		err = s.link(v)
	}
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	return nil
}

func (s *Store) link(v *view) error {
	if len(v.Unlinked) == 0 {
		return nil
	}
	if v.Current == nil {
		return errors.New("no generation is current: put one and switch to it first")
	}
	if err := s.replaceable(v); err != nil {
		return err
	}
	if v.matched == nil || v.Foreign == nil {
		return s.replaceAll(v)
	}
	back := v.Current
	v, err := s.capture(v)
	if err != nil {
		return err
	}
	if err := s.replaceAll(v); err != nil {
		return err
	}
	if back.Err != nil {
		return nil // what was captured is better
	}
	if err := s.point(back.ID); err != nil {
		return err
	}
	return s.setAside()
}

// setAside moves generations that were made on the way, and not adopted, to Dir/found.
func (s *Store) setAside() error {
	all, err := s.generations()
	if err != nil {
		return err
	}
	current, err := s.currentID()
	if err != nil {
		return err
	}
	for _, g := range all {
		if !g.Origin.Kept() || g.ID == current {
			continue
		}
		if err := s.toFound(g); err != nil {
			return explain("keep a copy", err)
		}
	}
	return nil
}

// capture makes what redis would read now the current generation, so that links
// to it change nothing.
func (s *Store) capture(v *view) (*view, error) {
	t, p := v.text, *v.matched
	p.CA = v.CA
	if len(p.CA) == 0 && v.Current.Pair != nil {
		// A CA file that redis cannot load, or none.
		t[caRole], p.CA = v.Current.text[caRole], v.Current.Pair.CA
	}
	g := same(v.All, t)
	if g == nil {
		var err error
		o := Origin{Issuer: p.Leaf().Issuer.String(), Method: Kept, Time: time.Now()}
		if g, err = s.put(t, &p, o); err != nil {
			return nil, err
		}
	}
	if err := s.point(g.ID); err != nil {
		return nil, err
	}
	return s.look()
}

// Linkable says why a plain path could not be made to lead through `current`; nil when
// each does, or can. It changes nothing.
func (s *Store) Linkable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.look()
	if err != nil {
		return nil // Load says that
	}
	return s.replaceable(v)
}

// replaceable finds out whether every plain path that is not linked can be
// replaced, without replacing one.
func (s *Store) replaceable(v *view) error {
	for r, p := range v.parts {
		if p.plain == "" || p.linked {
			continue
		}
		if err := s.withRights(role(r), func() error { return tryReplace(p.plain) }); err != nil {
			return explain("replace "+p.plain, err)
		}
	}
	return nil
}

func tryReplace(path string) error {
	var stx unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &stx)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return os.NewSyscallError("stat", err)
	}
	if stx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return os.NewSyscallError("rename", unix.EBUSY)
	}
	if err == nil && stx.Mode&unix.S_IFMT == unix.S_IFDIR {
		return errors.New("it is a directory: name the file in it")
	}
	tmp, err := makeLink("nowhere", tmpLink(path))
	if err != nil {
		return err
	}
	return os.Remove(tmp)
}

// replaceAll replaces every plain path that is not linked by a link into
// `current`, and keeps what would be lost by that.
func (s *Store) replaceAll(v *view) error {
	if v.Current.Err != nil {
		return fmt.Errorf("%w: switch to a whole generation first", v.Current.Err)
	}
	if v.parts[caRole].plain != "" && !v.parts[caRole].linked && len(v.Current.Pair.CA) == 0 {
		return fmt.Errorf("replace %s: generation %d has no CA certificate, and redis does not start without: give the pair the root of its issuer", v.parts[caRole].plain, v.Current.ID)
	}
	for r, p := range v.parts {
		if p.plain == "" || p.linked {
			continue
		}
		if err := s.replace(p.plain, role(r), v.All); err != nil {
			return err
		}
	}
	return nil
}

// replace renames a link over path. Between the look at what is lost by that
// and the rename lies one system call, the rename.
func (s *Store) replace(path string, r role, all []*Generation) error {
	before, err := s.preserve(path, r, all)
	if err != nil {
		return err
	}
	target := filepath.Join(s.current(), fileNames[r])
	if err := s.withRights(r, func() error { return renameLink(target, path, before) }); err != nil {
		return explain("replace "+path, err)
	}
	if err := disk.SyncDir(filepath.Dir(path)); err != nil {
		return explain("replace "+path, err)
	}
	return nil
}

// renameLink renames a link to target over path, while that is what before describes.
func renameLink(target, path string, before fs.FileInfo) error {
	tmp, err := makeLink(target, tmpLink(path))
	if err != nil {
		return err
	}
	err = ErrChanged
	if unchanged(path, before) {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// preserve keeps a copy of a plain file whose content is in no generation, and
// returns the file's identity; nil when there is no file. A link is lost
// without loss: what it leads to stays.
func (s *Store) preserve(path string, r role, all []*Generation) (fs.FileInfo, error) {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, explain("replace", err)
	}
	if before.Mode()&fs.ModeSymlink != 0 {
		return before, nil
	}
	text, err := s.readPlain(r)
	if err != nil {
		return nil, fmt.Errorf("%w; no copy of it could be kept, so it stays: let the agent read it, or move it away", explain("replace "+path, err))
	}
	if hold(all, r, text) {
		return before, nil
	}
	return before, s.keepCopy(filepath.Base(path), text, before.ModTime())
}

// unchanged says whether path is still what before describes.
func unchanged(path string, before fs.FileInfo) bool {
	now, err := os.Lstat(path)
	if before == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return err == nil && os.SameFile(before, now) && before.ModTime().Equal(now.ModTime()) && before.Size() == now.Size()
}
