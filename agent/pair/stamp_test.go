package pair

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestChangedAtRest: a pair that is known by stat(2) is read again whatever happens to one
// of its files, also where size and mtime stay as they were.
func TestChangedAtRest(t *testing.T) {
	garble := func(t *testing.T, path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text[len(text)/2] ^= 1
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(t *testing.T, path string){
		"written in place": garble,
		"written in place with the mtime of before": func(t *testing.T, path string) {
			fi, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			garble(t, path)
			if err := os.Chtimes(path, time.Time{}, fi.ModTime()); err != nil {
				t.Fatal(err)
			}
		},
		"another file of the same mtime in its place": func(t *testing.T, path string) {
			fi, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text[len(text)/2] ^= 1
			if err := os.WriteFile(path+".new", text, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path+".new", time.Time{}, fi.ModTime()); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		},
		"removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		for _, file := range []string{"redis.crt", "redis.key", "origin.json"} {
			t.Run(name+" "+file, func(t *testing.T) {
				s, g := atRest(t)
				change(t, filepath.Join(s.generation(g.ID), file))
				state, err := s.Load()
				if err != nil {
					t.Fatal(err)
				}
				if state.Current == g {
					t.Error("the change is not seen")
				}
			})
		}
	}
	t.Run("nothing happened", func(t *testing.T) {
		s, g := atRest(t)
		if state, err := s.Load(); err != nil || state.Current != g {
			t.Errorf("another pair is there (%v)", err)
		}
	})
}

// TestFreshFilesAreRead: what has only just been written may change again without another
// time, and is read each time.
func TestFreshFilesAreRead(t *testing.T) {
	s, g := atRest(t)
	stamps := stampGeneration(g.dir)
	var last time.Time
	for _, f := range stamps.files {
		if at := time.Unix(f.ctime.Unix()); at.After(last) {
			last = at
		}
	}
	coarse := stamps
	for i := range coarse.files {
		coarse.files[i].ctime.Nsec = 0
	}
	second := last.Truncate(time.Second)
	for _, tt := range []struct {
		stamps generationStamp
		now    time.Time
		want   bool
	}{
		{stamps, last, false}, {stamps, last.Add(restful - 1), false}, {stamps, last.Add(restful), true}, {stamps, last.Add(-time.Hour), false},
		{coarse, second.Add(restful), false}, {coarse, second.Add(restfulCoarse - 1), false}, {coarse, second.Add(restfulCoarse), true},
	} {
		if got := tt.stamps.atRest(tt.now); got != tt.want {
			t.Errorf("%s after the last change, which was at %s: at rest is %t", tt.now.Sub(last), last, got)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// atRest is a store whose current pair was at rest when it was read.
func atRest(t *testing.T) (*Store, *Generation) {
	h := newFixture(t, false)
	s := h.open()
	g, err := s.Put(issue(t), Origin{Method: "sign", Time: time.Now()})
	h.must(err)
	h.must(s.Switch(g.ID))
	g.rested = true // as if some time had passed
	return s, g
}
