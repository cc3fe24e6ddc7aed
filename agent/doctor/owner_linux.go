package doctor

import (
	"fmt"
	"io/fs"
	"syscall"
)

// owner writes user and group of a file by their numbers.
func owner(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "?"
	}
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}
