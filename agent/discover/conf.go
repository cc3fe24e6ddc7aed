package discover

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"redis-cert-agent/agent/disk"
	"redis-cert-agent/agent/plain"
)

// Bounds of a configuration: a redis.conf as it is shipped has 110 kB.
const (
	maxConf  = 1 << 20 // bytes of one file
	maxFiles = 64      // with what they include
	maxDepth = 16
)

// A Conf is a configuration file and what it includes.
type Conf struct {
	Path string
	Settings
	Files  []string // those that were read, in their order
	Faults []string // why it may say something else than this
	values values
}

// ReadConf reads a configuration file as a redis-server does that starts in cwd (empty:
// not known) with options after the file on its command line. What is wrong with it is
// among its faults; the error says that it cannot be read at all.
func ReadConf(path, cwd string, options []string) (*Conf, error) {
	c := &Conf{Path: resolve(cwd, path), values: values{}}
	if !filepath.IsAbs(c.Path) {
		return nil, fmt.Errorf("%s counts from where redis-server started, which is not known", path)
	}
	r := reader{conf: c, cwd: cwd}
	if err := r.file(c.Path, nil); err != nil {
		return nil, err
	}
	r.text(optionLines(options), "the command line", []string{c.Path})
	c.Settings = c.values.settings(cwd)
	return c, nil
}

// reader reads one Conf. A dir: counts from its line on, also for the includes after
// it: Redis changes there at once (src/config.c, setConfigDirOption).
type reader struct {
	conf *Conf
	cwd  string

	passphrase *string // takes the value of tls-key-file-pass; nil: nobody asks for it
}

// Passphrase returns the passphrase of the key that a configuration file has
// (tls-key-file-pass); empty: none. It is for who writes it down for the agent.
func Passphrase(path string) (string, error) {
	found := ""
	r := reader{conf: &Conf{Path: path, values: values{}}, cwd: "", passphrase: &found}
	return found, r.file(path, nil)
}

// file reads path, which the files of within include, the innermost last.
func (r *reader) file(path string, within []string) error {
	switch {
	case slices.Contains(within, path):
		return fmt.Errorf("%s includes itself: redis-server would not start with it", path)
	case len(within) >= maxDepth:
		return fmt.Errorf("%s is included through %d files, of at most %d", path, len(within), maxDepth)
	case len(r.conf.Files) >= maxFiles:
		return fmt.Errorf("%s is one of more than %d files", path, maxFiles)
	}
	text, _, err := disk.ReadInTime(path, maxConf)
	if errors.Is(err, disk.ErrTooLarge) || errors.Is(err, disk.ErrNotRegular) {
		return fmt.Errorf("%w; it is no configuration file", err)
	}
	if err != nil {
		return err
	}
	r.conf.Files = append(r.conf.Files, path)
	r.text(string(text), path, append(slices.Clone(within), path))
	return nil
}

func (r *reader) text(text, name string, within []string) {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		args, err := split(line)
		switch {
		case err != nil:
			r.fault("%s:%d: %v: redis-server would not start with it", name, n, err)
		case len(args) > 0:
			r.directive(strings.ToLower(args[0]), args[1:], fmt.Sprintf("%s:%d", name, n), within)
		}
	}
}

func (r *reader) directive(name string, args []string, at string, within []string) {
	if name == "include" && len(args) > 0 {
		r.include(args[0], at, within)
		return
	}
	if name == "tls-key-file-pass" && r.passphrase != nil && len(args) > 0 {
		*r.passphrase = args[0]
	}
	if !slices.Contains(known, name) || name == "requirepass" && len(args) == 0 {
		return
	}
	switch name {
	case "requirepass": // that there is one is all that is kept
		if args[0] != "" {
			args = []string{"set"}
		}
	case "sentinel":
		args = []string{}
	case "dir":
		if len(args) > 0 {
			r.cwd = resolve(r.cwd, args[0])
			args = []string{r.cwd}
		}
	case "replicaof", "slaveof":
		delete(r.conf.values, "replicaof")
		delete(r.conf.values, "slaveof")
	}
	r.conf.values[name] = args
}

// include reads what an include names. A pattern that matches nothing is no fault
// (7.0 and later; older versions know no patterns).
func (r *reader) include(pattern, at string, within []string) {
	pattern = resolve(r.cwd, pattern)
	paths := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		var err error
		if paths, err = filepath.Glob(pattern); err != nil {
			r.fault("%s: include %s: %v", at, pattern, err)
			return
		}
	}
	if !filepath.IsAbs(pattern) {
		r.fault("%s: include %s counts from where redis-server starts, which is not known: write the whole path", at, pattern)
		return
	}
	for _, path := range paths {
		if err := r.file(path, within); err != nil {
			r.fault("%s: include: %v", at, err)
		}
	}
}

// maxFaults bounds what is said of one configuration.
const maxFaults = 8

func (r *reader) fault(format string, args ...any) {
	if len(r.conf.Faults) < maxFaults {
		r.conf.Faults = append(r.conf.Faults, plain.OneLine(fmt.Sprintf(format, args...)))
	}
}

// optionLines makes lines of a configuration of the options on a command line: each
// begins with "--", and what follows are its values (src/server.c, main).
func optionLines(options []string) string {
	var text strings.Builder
	for _, o := range options {
		if name, ok := strings.CutPrefix(o, "--"); ok {
			text.WriteString("\n" + name)
			continue
		}
		text.WriteString(" " + quote(o))
	}
	return text.String()
}

// quote is the inverse of split.
func quote(arg string) string {
	var text strings.Builder
	text.WriteByte('"')
	for _, b := range []byte(arg) {
		fmt.Fprintf(&text, `\x%02x`, b)
	}
	text.WriteByte('"')
	return text.String()
}
