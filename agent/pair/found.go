package pair

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// keepCopy writes text to Dir/found under a name with the time that the file
// was written, for its owner only. The same content is kept once.
func (s *Store) keepCopy(name string, text []byte, written time.Time) error {
	known, err := s.isFound(text)
	if err != nil || known {
		return err
	}
	if err := s.makeFound(); err != nil {
		return err
	}
	tmp := filepath.Join(s.foundDir(), tmpPrefix+name)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return explain("keep a copy", err)
	}
	err = writeFiles(newFile{tmp, text, s.dirUID, -1, 0o600})
	if err == nil {
		err = s.moveToFound(tmp, name+"-"+stamp(written))
	}
	if err != nil {
		_ = os.Remove(tmp)
		return explain("keep a copy", err)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

func (s *Store) makeFound() error {
	err := s.mkdir(s.foundDir())
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err != nil {
		return explain("keep a copy", err)
	}
	return nil
}

// moveToFound renames from into Dir/found, under a name that is free there.
func (s *Store) moveToFound(from, name string) error {
	to := filepath.Join(s.foundDir(), name)
	for n := 2; ; n++ {
		_, err := os.Lstat(to)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		to = filepath.Join(s.foundDir(), fmt.Sprintf("%s.%d", name, n))
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(s.foundDir())
}

// isFound says whether a file of Dir/found holds text.
func (s *Store) isFound(text []byte) (bool, error) {
	entries, err := os.ReadDir(s.foundDir())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, explain("keep a copy", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), tmpPrefix) {
			continue
		}
		have, err := readFile(filepath.Join(s.foundDir(), e.Name()))
		if err == nil && bytes.Equal(have, text) {
			return true, nil
		}
	}
	return false, nil
}
