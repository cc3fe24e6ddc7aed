package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// decoder takes the value of one field.
type decoder func(field string, n ast.Node)

// keys says what decodes each key of a mapping.
type keys map[string]decoder

func (d *document) decode(c *Config, root *ast.MappingNode, a accounts) {
	d.mapping("", root, keys{
		"instance":   d.text(&c.Instance),
		"directory":  d.text(&c.Directory),
		"control":    d.text(&c.Control),
		"issuer":     d.nobody(&c.MonitorOnly, d.issuers(&c.Issuers)),
		"names":      d.list(&c.Names, normalName),
		"key":        d.section(keys{"type": d.text(&c.Key.Type), "reuse": into(d, &c.Key.Reuse, parseBool)}),
		"servers":    d.servers(&c.Servers),
		"paths":      d.section(keys{"cert": d.text(&c.Paths.Cert), "key": d.text(&c.Paths.Key), "ca": d.text(&c.Paths.CA)}),
		"files":      d.section(keys{"owner": into(d, &c.Files.UID, a.user), "group": into(d, &c.Files.GID, a.group), "mode": into(d, &c.Files.Mode, parseMode)}),
		"roots":      d.section(keys{"file": d.text(&c.Roots.File), "policy": d.text(&c.Roots.Policy)}),
		"usages":     d.usages(&c.Usages),
		"keep":       into(d, &c.Keep, parseInt),
		"jitter":     into(d, &c.Jitter, parsePercent),
		"clock_wait": into(d, &c.ClockWait, parseDuration),
		"monitor":    d.monitor(&c.Monitor),
		"metrics":    d.metrics(&c.Metrics),
		"notify":     d.notify(&c.Notify),
		"heartbeat":  d.heartbeat(&c.Heartbeat),
	})
}

// servers decodes a list whose elements are an address or a mapping.
func (d *document) servers(dst *[]Server) decoder {
	return func(field string, n ast.Node) {
		d.sequence(field, n, "write a list, like servers: [127.0.0.1:6379]", func(field string, n ast.Node) {
			s := defaultServer()
			if kind(n) == "a single value" {
				d.text(&s.Address)(field, n)
				d.lines[field+".address"], d.texts[field+".address"] = d.lines[field], d.texts[field]
			} else {
				d.mapping(field, n, keys{
					"address":              d.text(&s.Address),
					"name":                 into(d, &s.Name, normalName),
					"control":              d.text(&s.Control),
					"user":                 d.text(&s.User),
					"password_file":        d.secret(&s.Password),
					"client_cert":          d.text(&s.ClientCert),
					"client_key":           d.secret(&s.ClientKey),
					"config_command":       d.text(&s.ConfigCommand),
					"insecure_skip_verify": into(d, &s.InsecureSkipVerify, parseBool),
					"timeout":              into(d, &s.Timeout, parseDuration),
				})
			}
			*dst = append(*dst, s)
		})
	}
}

// usages decodes auto, or a list.
func (d *document) usages(dst *[]string) decoder {
	return func(field string, n ast.Node) {
		if text, ok := scalar(n); ok {
			d.texts[field] = text
			if text != "auto" {
				d.fault(field, "%s is not a list; write auto, [server] or [server, client]", quote(text))
			}
			return
		}
		d.list(dst, func(s string) (string, error) { return s, nil })(field, n)
	}
}

// section decodes a mapping.
func (d *document) section(k keys) decoder {
	return func(field string, n ast.Node) { d.mapping(field, n, k) }
}

// mapping hands each value of a mapping to its decoder, and notes unknown
// keys, duplicate keys and keys without a value.
func (d *document) mapping(field string, n ast.Node, k keys) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.fault(field, "this is %s, not a mapping; write keys and values under it: %s", kind(n), strings.Join(k.names(), ", "))
		return
	}
	for _, entry := range m.Values {
		key := entry.Key.String()
		if text, ok := scalar(d.resolve(entry.Key, 0)); ok {
			key = text
		}
		at, f := line(entry.Key), child(field, key)
		if entry.Key.IsMergeKey() {
			d.faultAt(at, f, "merge keys are not supported; write the keys out")
			continue
		}
		decode, known := k[key]
		if !known {
			d.faultAt(at, child(field, strings.Trim(quote(key), `"`)), "unknown key; %s", meant(key, k.names()))
			continue
		}
		if d.has(f) {
			d.faultAt(at, f, "this key is already on line %d; keep one of them", d.lines[f])
			continue
		}
		d.lines[f] = at
		value := d.resolve(entry.Value, 0)
		if kind(value) == "empty" {
			d.fault(f, "this key has no value; give it one, or leave the line out")
			continue
		}
		decode(f, value)
	}
}

// sequence hands each element of a list to a decoder.
func (d *document) sequence(field string, n ast.Node, hint string, element decoder) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fault(field, "this is %s, not a list; %s", kind(n), hint)
		return
	}
	for i, v := range s.Values {
		f := fmt.Sprintf("%s[%d]", field, i)
		d.lines[f] = line(v)
		value := d.resolve(v, 0)
		if kind(value) == "empty" {
			d.fault(f, "this element is empty; give it a value, or leave it out")
		}
		element(f, value)
	}
}

// list decodes a list of strings. A value that does not parse is kept as it
// is, so that the elements keep their places.
func (d *document) list(dst *[]string, parse func(string) (string, error)) decoder {
	return func(field string, n ast.Node) {
		d.sequence(field, n, "write it in brackets, like ["+exampleOf(n)+"]", func(f string, n ast.Node) {
			var s string
			into(d, &s, parse)(f, n)
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

// text decodes a string.
func (d *document) text(dst *string) decoder {
	return into(d, dst, func(s string) (string, error) { return s, nil })
}

// into decodes a scalar with parse, whose error says what the value is not
// and what to write. The value stays as it was when parse refuses.
func into[T any](d *document, dst *T, parse func(string) (T, error)) decoder {
	return func(field string, n ast.Node) {
		text, ok := scalar(n)
		if !ok {
			d.fault(field, "this is %s; write a single value", kind(n))
			return
		}
		d.texts[field] = text
		v, err := parse(text)
		if err != nil {
			d.fault(field, "%s %v", quote(text), err)
			return
		}
		*dst = v
	}
}

// secret decodes where a secret is. What stands there is not repeated in
// messages: it may be the secret itself.
func (d *document) secret(dst *Secret) decoder {
	return func(field string, n ast.Node) {
		key := field[strings.LastIndexByte(field, '.')+1:]
		text, ok := scalar(n)
		if !ok {
			d.fault(field, "this is %s; write the path of a file, or credential:NAME", kind(n))
			return
		}
		s, err := parseSecret(text, key)
		if err != nil {
			d.fault(field, "%v", err)
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

func (k keys) names() []string {
	names := make([]string, 0, len(k))
	for name := range k {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
