package pair

import (
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A fileStamp is what stat(2) tells of one file. A file of which it is the same has the same
// content, if it was at rest when it was read: whatever writes to a file, replaces it or
// changes who may read it sets its ctime, which nobody can choose. The zero value stands
// for no file.
type fileStamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

// How old a change must be for the next one to have another time. The clock of a file
// system ticks at least each ten milliseconds (CONFIG_HZ), or, as over NFS, each second or
// two: then no time of it has nanoseconds.
var (
	restful       = 50 * time.Millisecond
	restfulCoarse = 2 * time.Second
)

// A generationStamp has the stamps of the files of a generation, origin.json last.
type generationStamp struct {
	files [len(fileNames) + 1]fileStamp
	known bool // each of them could be asked for
}

func stampGeneration(dir string) generationStamp {
	s := generationStamp{known: true}
	for i := range s.files {
		name := recordName
		if i < len(fileNames) {
			name = fileNames[i]
		}
		var st unix.Stat_t
		switch err := unix.Stat(filepath.Join(dir, name), &st); {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			s.known = false
		default:
			s.files[i] = fileStamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
		}
	}
	return s
}

// atRest says whether no file had changed for a while at the time now. A clock that was
// set back makes it false, and the files are read.
func (s generationStamp) atRest(now time.Time) bool {
	for _, f := range s.files {
		old := restful
		if f.ctime.Nsec == 0 {
			old = restfulCoarse
		}
		if now.Sub(time.Unix(f.ctime.Unix())) < old {
			return false
		}
	}
	return s.known
}
