package config

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// document is a YAML file while it is read: where each field stands, and what
// is wrong so far. Fields are named by their path, such as
// "servers[1].timeout"; the root is "".
type document struct {
	path    string
	lines   map[string]int
	anchors map[string]ast.Node
	faults  []Fault
	broken  map[string]bool // fields that have a fault

	accounts accounts
}

func newDocument(path string) *document {
	return &document{
		path:    path,
		lines:   map[string]int{"": 1},
		anchors: map[string]ast.Node{},
		broken:  map[string]bool{},
	}
}

// Given tells whether the file has the field; see option.Report.
func (d *document) Given(field string) bool {
	_, ok := d.lines[field]
	return ok
}

// Fault notes what is wrong with a field, at its own line or, when it is not
// there, at that of the nearest parent. A field whose parent could not be
// read has no faults of its own, and a field has one fault at most: what
// follows from the first would only hide it.
func (d *document) Fault(field, format string, args ...any) {
	for p := field; ; p = parent(p) {
		if d.broken[p] {
			return
		}
		if p == "" {
			break
		}
	}
	at := field
	for !d.Given(at) {
		at = parent(at)
	}
	d.broken[field] = true
	d.faultAt(d.lines[at], field, format, args...)
}

// faultAt notes a fault at a line, whatever else is wrong with the field.
func (d *document) faultAt(line int, field, format string, args ...any) {
	d.faults = append(d.faults, Fault{File: d.path, Line: line, Field: field, Text: fmt.Sprintf(format, args...)})
}

func (d *document) err() error {
	if faults := d.all(); faults != nil {
		return faults
	}
	return nil
}

// all returns what is wrong; nil when nothing is.
func (d *document) all() *Faults {
	if len(d.faults) == 0 {
		return nil
	}
	list := slices.Clone(d.faults)
	sort.SliceStable(list, func(i, j int) bool { return list[i].Line < list[j].Line })
	return &Faults{List: list}
}

// parent returns the path of the mapping or sequence that holds the field.
func parent(field string) string {
	i := strings.LastIndexAny(field, ".[")
	return field[:max(i, 0)]
}

func child(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// root parses the file and returns its mapping, or notes why there is none.
func (d *document) root(data []byte) *ast.MappingNode {
	data = []byte(strings.TrimPrefix(string(data), "\ufeff"))
	if !utf8.Valid(data) {
		d.faultAt(1, "", "this is not UTF-8 text; save the file as UTF-8")
		return nil
	}
	bodies, err := parseYAML(data)
	if err != nil {
		if !d.tabs(string(data)) {
			d.syntax(err)
		}
		return nil
	}
	if len(bodies) == 0 {
		d.faultAt(1, "", "the file is empty; it needs at least issuer, names and servers")
		return nil
	}
	if len(bodies) > 1 {
		d.faultAt(line(bodies[1]), "", "a second YAML document begins here; write one file for each instance, without ---")
		return nil
	}
	m, ok := d.resolve(bodies[0], 0).(*ast.MappingNode)
	if !ok {
		d.faultAt(line(bodies[0]), "", "the file is %s; write keys and values, like names: [redis1.internal]", kind(bodies[0]))
		return nil
	}
	return m
}

// parseYAML returns the bodies of the documents in data, without directives.
// The library has panicked on malformed input in the past; a file must not be
// able to stop the agent.
func parseYAML(data []byte) (bodies []ast.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			bodies, err = nil, errors.New("the YAML cannot be parsed; check quotes and indentation")
		}
	}()
	// Duplicate keys are found by our own walk, all of them at once.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, err
	}
	for _, doc := range file.Docs {
		if _, directive := doc.Body.(*ast.DirectiveNode); doc.Body != nil && !directive {
			bodies = append(bodies, doc.Body)
		}
	}
	return bodies, nil
}

// syntax notes an error of the YAML library. It quotes none of the file: the
// place where YAML breaks may well be inside of a secret.
func (d *document) syntax(err error) {
	var e yaml.Error
	if !errors.As(err, &e) {
		text, _, _ := strings.Cut(err.Error(), "\n")
		d.faultAt(1, "", "broken YAML: %s", text)
		return
	}
	n := 1
	if t := e.GetToken(); t != nil {
		n = tokenLine(t)
	}
	text, _, _ := strings.Cut(e.GetMessage(), "\n")
	d.faultAt(n, "", "broken YAML: %s; check the indentation, and quote a value that has a colon or begins with one of [ { * & ! %% @ `", text)
}

// tabs notes every line of a broken file that is indented with a tab, which
// YAML forbids (YAML 1.2, 6.1) and editors hide.
func (d *document) tabs(text string) bool {
	found := false
	for i, l := range strings.Split(text, "\n") {
		rest := strings.TrimLeft(l, " \t\r")
		if rest == "" || !strings.Contains(l[:len(l)-len(rest)], "\t") {
			continue
		}
		found = true
		d.faultAt(i+1, "", "a tab indents this line; YAML wants spaces")
	}
	return found
}

// resolve returns what a node stands for: an anchor's value, an alias's
// target, a tag's value. The depth bounds aliases that name one another.
func (d *document) resolve(n ast.Node, depth int) ast.Node {
	if depth > 16 {
		return nil
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		if n.Name != nil {
			d.anchors[n.Name.String()] = n.Value
		}
		return d.resolve(n.Value, depth+1)
	case *ast.AliasNode:
		if n.Value == nil {
			return nil
		}
		return d.resolve(d.anchors[n.Value.String()], depth+1)
	case *ast.TagNode:
		return d.resolve(n.Value, depth+1)
	case *ast.MappingValueNode:
		return ast.Mapping(n.Start, false, n)
	}
	return n
}

// kind names what a node is, for a message.
func kind(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "empty"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AliasNode:
		return "an alias of nothing"
	}
	return "a single value"
}

func line(n ast.Node) int {
	if n == nil || n.GetToken() == nil {
		return 1
	}
	return tokenLine(n.GetToken())
}

func tokenLine(t *token.Token) int {
	if t.Position == nil {
		return 1
	}
	return t.Position.Line
}
