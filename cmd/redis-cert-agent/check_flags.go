package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"redis-cert-agent/agent/check"
)

// fileArgs are the files of --file and --key as they stand on the command line.
type fileArgs struct {
	files []check.Target
	keys  []string
	after []int // the number of files before each key
}

type (
	fileFlag struct{ *fileArgs }
	keyFlag  struct{ *fileArgs }
)

func (f fileFlag) Set(path string) error {
	if path == "" {
		return errors.New("name a file")
	}
	f.files = append(f.files, check.Target{Kind: check.File, Path: path, Key: check.Keys{Group: -1}})
	return nil
}

func (f keyFlag) Set(path string) error {
	if path == "" {
		return errors.New("name a file")
	}
	f.keys, f.after = append(f.keys, path), append(f.after, len(f.files))
	return nil
}

func (fileFlag) String() string { return "" }
func (keyFlag) String() string  { return "" }
func (fileFlag) Type() string   { return "FILE" }
func (keyFlag) Type() string    { return "FILE" }

// targets pairs each key with the file before it; as many keys as files are
// paired in order, wherever they stand.
func (f *fileArgs) targets() ([]check.Target, error) {
	targets := slices.Clone(f.files)
	for i, key := range f.keys {
		at := f.after[i] - 1
		if len(f.keys) == len(targets) {
			at = i
		}
		if at < 0 || targets[at].Key.Path != "" {
			return nil, usageError{fmt.Errorf("--key %s has no --file of its own before it: write each key behind its certificate", key)}
		}
		targets[at].Key.Path = key
	}
	return targets, nil
}

// readTargets reads the addresses of a list: one a line, with # before a
// comment.
func readTargets(path string, stdin io.Reader) ([]string, error) {
	from := stdin
	if path != "-" {
		f, err := os.Open(path) // a pipe is waited for here: a shell makes one of <(a command)
		if err != nil {
			return nil, fmt.Errorf("--targets: %w", err)
		}
		defer f.Close()
		from = f
	}
	var all []string
	lines := bufio.NewScanner(from)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if _, _, err := splitTarget(text); err != nil {
			return nil, fmt.Errorf("--targets %s, line %d: %w", path, n, err)
		}
		all = append(all, text)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--targets %s: %w", path, err)
	}
	return all, nil
}

// splitTarget takes HOST:PORT apart. Its errors do not repeat what could be a
// URL with a password.
func splitTarget(text string) (host, port string, err error) {
	if strings.ContainsAny(text, "/@") {
		return "", "", errors.New("a target is HOST:PORT: of a URL leave out the scheme, the user and the password, and name a file with --file")
	}
	host, port, err = net.SplitHostPort(text)
	if err != nil && !strings.Contains(text, "]") && (strings.Count(text, ":") != 1) {
		host, port, err = text, defaultPort, nil // a name, or an IPv6 address, alone
	} else if err != nil && strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		host, port, err = text[1:len(text)-1], defaultPort, nil
	}
	number, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || bad != nil || number == 0 || strings.ContainsAny(host, " \t[]") {
		return "", "", fmt.Errorf("target %q is not HOST:PORT, like redis1.internal:6379 or [::1]:6379", text)
	}
	return host, port, nil
}

// defaultPort is what redis listens on.
const defaultPort = "6379"
