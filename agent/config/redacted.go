package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Redacted tells what stands in a configuration file without what may be a secret, one
// key a line, for a bug report. The values of keys that it does not know, and comments, are
// left out; so is what stands where a secret's place should, and of a URL what is behind
// the host. Secrets are the files and credentials that it names as the place of one.
func Redacted(path string) (text string, secrets []string, err error) {
	data, err := readFile(path)
	if err != nil {
		return "", nil, err
	}
	d := newDocument(path)
	root := d.root(data)
	if root == nil {
		return "", nil, d.err()
	}
	r := redaction{document: d, known: map[string]bool{}}
	for _, f := range Reference() {
		r.known[strings.ReplaceAll(f.Key, "[]", "")] = true
	}
	r.walk("", root, 0)
	return r.text.String(), r.secrets, nil
}

type redaction struct {
	*document
	known   map[string]bool
	text    strings.Builder
	secrets []string
}

// index is the place in a list.
var index = regexp.MustCompile(`\[\d+\]`)

func (r *redaction) walk(field string, n ast.Node, depth int) {
	const deepest = 20 // an alias may lead to itself
	n = r.resolve(n, 0)
	if depth > deepest {
		return
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, entry := range n.Values {
			name := entry.Key.String()
			if text, ok := scalar(r.resolve(entry.Key, 0)); ok {
				name = text
			}
			if at := child(field, name); !r.knows(at) {
				fmt.Fprintf(&r.text, "%s: a key that is not known\n", orRoot(field))
				continue
			}
			r.walk(child(field, name), entry.Value, depth+1)
		}
	case *ast.SequenceNode:
		for i, value := range n.Values {
			r.walk(fmt.Sprintf("%s[%d]", field, i), value, depth+1)
		}
	default:
		if value, ok := scalar(n); ok {
			fmt.Fprintf(&r.text, "%s: %s\n", field, r.show(field, value))
		}
	}
}

func orRoot(field string) string {
	if field == "" {
		return "the file"
	}
	return field
}

// knows says whether the file may have this key, or keys below it.
func (r *redaction) knows(field string) bool {
	field = index.ReplaceAllString(field, "")
	for known := range r.known {
		if known == field || strings.HasPrefix(known, field+".") {
			return true
		}
	}
	return false
}

// show returns a value, or what may be shown of it.
func (r *redaction) show(field, value string) string {
	key := index.ReplaceAllString(field, "")
	key = key[strings.LastIndexByte(key, '.')+1:]
	switch {
	case strings.HasSuffix(field, "]") && !strings.HasSuffix(field, "[0]") && key == "command":
		return "(not shown)" // an argument may be a secret
	case strings.HasSuffix(key, "_file"), slices.Contains([]string{"client_key", "account_key"}, key):
		if !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "credential:") {
			return "(not shown)"
		}
		if key != "roots_file" {
			r.secrets = append(r.secrets, value)
		}
	case key == "url", key == "directory" && strings.Contains(value, "://"):
		u, err := url.Parse(value)
		if err != nil || u.Host == "" {
			return "(not shown)"
		}
		if key == "url" {
			return u.Scheme + "://" + u.Host + " (the rest is not shown)"
		}
		u.User = nil
		return u.String()
	}
	return fmt.Sprintf("%q", value)
}
