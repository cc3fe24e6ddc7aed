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

	"redis-cert-agent/agent/disk"
)

// keepCopy writes text to Dir/found under a name with the time that the file
// was written, for its owner only. The same content is kept once.
//
// A key that is distrusted is not kept.
func (s *Store) keepCopy(name string, text []byte, written time.Time) error {
	if s.holdsDistrusted(text) {
		return nil
	}
	known, err := s.isFound(text)
	if err != nil || known {
		return err
	}
	if err := makeDirs(s.foundDir(), s.mkdir); err != nil {
		return explain("keep a copy", err)
	}
	path, err := s.freeName(name + "-" + stamp(written))
	if err == nil {
		err = disk.Replace(path, text)
	}
	if err != nil {
		return explain("keep a copy", err)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

// freeName returns the path of a file of Dir/found that is not there: name, or
// name with a number.
func (s *Store) freeName(name string) (string, error) {
	path := filepath.Join(s.foundDir(), name)
	for n := 2; ; n++ {
		_, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		path = filepath.Join(s.foundDir(), fmt.Sprintf("%s.%d", name, n))
	}
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
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), disk.TemporaryPrefix) {
			continue
		}
		have, err := readFile(filepath.Join(s.foundDir(), e.Name()))
		if err == nil && bytes.Equal(have, text) {
			return true, nil
		}
	}
	return false, nil
}
