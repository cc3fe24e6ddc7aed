package main

import (
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
	switch path {
	case "":
		return errors.New("name a file")
	case "-":
		return errors.New("standard input has both, certificate and key, with --file - alone")
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
func (f *fileArgs) targets(in *stdin) ([]check.Target, error) {
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
	for i, t := range targets {
		if t.Path != "-" {
			continue
		}
		text, err := in.take("--file -")
		if err != nil {
			return nil, err
		}
		targets[i].Path, targets[i].Text = "standard input", text
	}
	return targets, nil
}

// stdin is standard input, which can be read once.
type stdin struct {
	io.Reader
	by string // what read it
}

// take reads all of it.
func (s *stdin) take(by string) ([]byte, error) {
	if s.by != "" {
		return nil, usageError{fmt.Errorf("standard input can be read once: %s has it already, and %s wants it too", s.by, by)}
	}
	s.by = by
	text, err := io.ReadAll(io.LimitReader(s, maxPEM+1))
	if err == nil && len(text) > maxPEM {
		err = fmt.Errorf("it has more than %d bytes", maxPEM)
	}
	if err != nil {
		return nil, fmt.Errorf("standard input, for %s: %w", by, err)
	}
	return append([]byte{}, text...), nil // not nil, also of nothing
}

// readLists adds the targets of --targets, and for a - those on standard input.
func (o *checkOptions) readLists() error {
	var lists, named []string
	if o.list != "" {
		lists = append(lists, o.list)
	}
	for _, text := range o.addresses {
		if text == "-" {
			lists = append(lists, text)
		} else {
			named = append(named, text)
		}
	}
	for _, list := range lists {
		more, err := o.readTargets(list)
		if err != nil {
			return err
		}
		named = append(named, more...)
	}
	if len(lists) > 0 && len(named)+len(o.files.files) == 0 {
		return fmt.Errorf("%s holds no target: write one HOST:PORT a line", listName(lists[0]))
	}
	o.addresses = named
	return nil
}

func listName(list string) string {
	if list == "-" {
		return "standard input"
	}
	return "--targets " + list
}

// readTargets reads the addresses of a list: one a line, with # before a
// comment.
func (o *checkOptions) readTargets(list string) ([]string, error) {
	text, err := o.readList(list)
	if err != nil {
		return nil, err
	}
	var all []string
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if _, _, err := splitTarget(line); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", listName(list), n, err)
		}
		all = append(all, line)
	}
	return all, nil
}

func (o *checkOptions) readList(list string) ([]byte, error) {
	if list == "-" {
		return o.stdin.take("the list of targets")
	}
	f, err := os.Open(list) // a pipe is waited for here: a shell makes one of <(a command)
	if err != nil {
		return nil, fmt.Errorf("--targets: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPEM))
	if err != nil {
		return nil, fmt.Errorf("--targets %s: %w", list, err)
	}
	return text, nil
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
