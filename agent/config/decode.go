package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"redis-cert-agent/agent/option"
	"redis-cert-agent/agent/secret"
)

// A decoder takes the value of one field.
type decoder func(d *document, field string, n ast.Node)

// mapping hands each value of a mapping to the decoder of its key, and notes
// unknown keys, duplicate keys and keys without a value.
func (d *document) mapping(field string, n ast.Node, known []key) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.Fault(field, "this is %s, not a mapping; write keys and values under it: %s", kind(n), strings.Join(names(known), ", "))
		return
	}
	for _, entry := range m.Values {
		name := entry.Key.String()
		if text, ok := scalar(d.resolve(entry.Key, 0)); ok {
			name = text
		}
		at, f := line(entry.Key), child(field, name)
		if entry.Key.IsMergeKey() {
			d.faultAt(at, f, "merge keys are not supported; write the keys out")
			continue
		}
		i := slices.IndexFunc(known, func(k key) bool { return k.name == name })
		if i < 0 {
			d.faultAt(at, child(field, strings.Trim(option.Quote(name), `"`)), "unknown key; %s", option.Meant(name, names(known)))
			continue
		}
		if d.Given(f) {
			d.faultAt(at, f, "this key is already on line %d; keep one of them", d.lines[f])
			continue
		}
		d.lines[f] = at
		value := d.resolve(entry.Value, 0)
		switch k := known[i]; {
		case kind(value) == "empty":
			d.Fault(f, "this key has no value; give it one, or leave the line out")
		case k.take != nil:
			k.take(d, f, value)
		default:
			d.mapping(f, value, k.below)
		}
	}
}

func names(keys []key) []string {
	var all []string
	for _, k := range keys {
		all = append(all, k.name)
	}
	slices.Sort(all)
	return all
}

// sequence hands each element of a list to a decoder. The hint says how to write
// one.
func (d *document) sequence(field string, n ast.Node, hint string, element decoder) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.Fault(field, "this is %s, not a list; %s", kind(n), hint)
		return
	}
	for i, v := range s.Values {
		f := fmt.Sprintf("%s[%d]", field, i)
		d.lines[f] = line(v)
		value := d.resolve(v, 0)
		if kind(value) == "empty" {
			d.Fault(f, "this element is empty; give it a value, or leave it out")
		}
		element(d, f, value)
	}
}

// list decodes a list of strings; one without elements is not nil. What does not
// parse is kept as an empty string, so that the elements keep their places.
func list(dst *[]string, parse func(string) (string, error)) decoder {
	return func(d *document, field string, n ast.Node) {
		*dst = []string{}
		d.sequence(field, n, "write it in brackets, like ["+exampleOf(n)+"]", func(d *document, f string, n ast.Node) {
			var s string
			into(&s, parse)(d, f, n)
			*dst = append(*dst, s)
		})
	}
}

func exampleOf(n ast.Node) string {
	if s, ok := scalar(n); ok && len(s) < 80 && !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	return "a, b"
}

// command decodes a program and its arguments.
func command(dst *[]string) decoder {
	return func(d *document, field string, n ast.Node) {
		const hint = "no shell splits it: write the program and its arguments in brackets, like [/usr/local/bin/dns-hook, --zone, internal]"
		d.sequence(field, n, hint, func(d *document, f string, n ast.Node) {
			var s string
			text(&s)(d, f, n)
			*dst = append(*dst, s)
		})
	}
}

// text decodes a string.
func text[T ~string](dst *T) decoder {
	return into(dst, func(s string) (T, error) { return T(s), nil })
}

// plain is the parser of a string that is taken as it is.
func plain(s string) (string, error) { return s, nil }

// into decodes a scalar with parse, whose error says what the value is not
// and what to write. The value stays as it was when parse refuses.
func into[T any](dst *T, parse func(string) (T, error)) decoder {
	return func(d *document, field string, n ast.Node) {
		text, ok := scalar(n)
		if !ok {
			d.Fault(field, "this is %s; write a single value", kind(n))
			return
		}
		v, err := parse(text)
		if err != nil {
			d.Fault(field, "%s %v", option.Quote(text), err)
			return
		}
		*dst = v
	}
}

// account decodes the name or number of a user or group.
func account(dst *int, lookup func(accounts, string) (int, error)) decoder {
	return func(d *document, field string, n ast.Node) {
		into(dst, func(s string) (int, error) { return lookup(d.accounts, s) })(d, field, n)
	}
}

// secretIn decodes where a secret is. What stands there is not repeated in
// messages: it may be the secret itself.
func secretIn(dst *secret.Secret) decoder {
	return func(d *document, field string, n ast.Node) {
		text, ok := scalar(n)
		if !ok {
			d.Fault(field, "this is %s; write the path of a file, or credential:NAME", kind(n))
			return
		}
		s, err := secret.Parse(text, field[strings.LastIndexByte(field, '.')+1:])
		if err != nil {
			d.Fault(field, "%v", err)
			return
		}
		*dst = s
	}
}

// scalar returns the text of a single value as it was written, without quotes.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value == nil {
			return "", true
		}
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, errors.New("is not a whole number; write it like 3")
	}
	return n, nil
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("is neither true nor false; write one of these")
}

// parseMode takes three octal digits, with or without a leading 0 or 0o.
func parseMode(s string) (fs.FileMode, error) {
	digits := strings.TrimPrefix(strings.TrimPrefix(s, "0o"), "0")
	n, err := strconv.ParseUint(digits, 8, 32)
	if err != nil || len(digits) != 3 {
		return 0, errors.New(`is not a file mode; write three octal digits, like "0640"`)
	}
	return fs.FileMode(n), nil
}

func parsePolicy(s string) (exact bool, err error) {
	switch s {
	case "merge", "exact":
		return s == "exact", nil
	}
	return false, errors.New("is not known; " + option.Meant(s, []string{"merge", "exact"}))
}

func trimSlash(s string) (string, error) { return strings.TrimRight(s, "/"), nil }
