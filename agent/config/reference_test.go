package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// yamlKey returns the key that fills a struct field, or "" for one that no
// key fills.
func yamlKey(field string) string {
	switch field {
	case "Path":
		return ""
	case "Password":
		return "password_file"
	case "UID":
		return "owner"
	case "GID":
		return "group"
	}
	words := regexp.MustCompile(`(URL|CA|[A-Z][a-z]+)`).FindAllString(field, -1)
	return strings.ToLower(strings.Join(words, "_"))
}

// leaves lists the paths of all keys of a configuration struct.
func leaves(prefix string, t reflect.Type) []string {
	switch {
	case t == reflect.TypeFor[Secret]():
		return []string{prefix}
	case t.Kind() == reflect.Pointer:
		return leaves(prefix, t.Elem())
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return leaves(prefix+"[]", t.Elem())
	case t.Kind() != reflect.Struct:
		return []string{prefix}
	}
	var all []string
	for i := range t.NumField() {
		if key := yamlKey(t.Field(i).Name); key != "" {
			all = append(all, leaves(child(prefix, key), t.Field(i).Type)...)
		}
	}
	return all
}

func TestReferenceHasEveryField(t *testing.T) {
	var got []string
	for _, f := range Reference() {
		got = append(got, f.Key)
		if f.Meaning == "" || f.Example == "" || f.Required != (f.Default == "") || strings.HasSuffix(f.Meaning, ".") {
			t.Errorf("%s is not described: %+v", f.Key, f)
		}
	}
	want := leaves("", reflect.TypeFor[Config]())
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Every key decodes, its example is accepted, and where the default stands as
// a value it is the default.
func TestReferenceDecodes(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	plain, _ := parse("config.yaml", []byte(fileWith("servers[].address", "")), systemAccounts{})
	for _, f := range Reference() {
		c, d := parse("config.yaml", []byte(fileWith(f.Key, f.Example)), systemAccounts{})
		if err := d.err(); err != nil {
			t.Errorf("%s: %v", f.Key, err)
			continue
		}
		if f.Example == f.Default || f.Required {
			continue
		}
		if reflect.DeepEqual(c, plain) {
			t.Errorf("%s: %s changes nothing", f.Key, f.Example)
		}
	}
	for _, f := range Reference() {
		if f.Required || strings.ContainsAny(f.Default, " ") || strings.Contains(f.Default, "INSTANCE") || f.Default == "none" {
			continue
		}
		c, d := parse("config.yaml", []byte(fileWith(f.Key, f.Default)), systemAccounts{})
		if err := d.err(); err != nil || !reflect.DeepEqual(c, plain) {
			t.Errorf("%s: %s is not the default: %v", f.Key, f.Default, err)
		}
	}
}

// fileWith is the minimal file with one more key, and with what must go
// together with it.
func fileWith(key, value string) string {
	with := map[string]string{}
	switch key {
	case "servers[].client_cert":
		with["servers[].client_key"] = "/k"
	case "servers[].client_key":
		with["servers[].client_cert"] = "/c"
	case "paths.cert", "paths.ca":
		with["paths.key"] = "/k"
	}
	if key == "paths.key" || key == "paths.ca" {
		with["paths.cert"] = "/c"
	}
	with[key] = value
	step := "url: https://ca.internal:9000, fingerprint: " + minimalPrint + ", provisioner: redis"
	names, top, server := "[redis1.internal, 10.0.0.5]", "", "address: 127.0.0.1:6379"
	sections := map[string][]string{}
	for k, v := range with {
		section, last, nested := strings.Cut(k, ".")
		switch {
		case k == "names":
			names = v
		case strings.HasPrefix(k, "issuer.step."):
			last = strings.TrimPrefix(k, "issuer.step.")
			if !strings.Contains(step, last+":") {
				step += ", " + last + ": " + v
			}
		case section == "servers[]" && last != "address":
			server += "\n  " + last + ": " + v
		case section == "servers[]":
		case nested:
			sections[section] = append(sections[section], last+": "+v)
		default:
			top += k + ": " + v + "\n"
		}
	}
	for s, entries := range sections {
		top += s + ": {" + strings.Join(entries, ", ") + "}\n"
	}
	return fmt.Sprintf("issuer: {step: {%s}}\nnames: %s\nservers:\n- %s\n%s", step, names, server, top)
}

// The package comment shows the same reference, for readers of the code.
func TestPackageCommentShowsReference(t *testing.T) {
	data, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	begin, rest, _ := strings.Cut(string(data), "// # Every key\n//\n")
	_, end, _ := strings.Cut(rest, "package config")
	var b strings.Builder
	b.WriteString(begin + "// # Every key\n//\n")
	for l := range strings.Lines(Manual()) {
		b.WriteString("//\t" + l)
	}
	b.WriteString("package config" + end)
	if b.String() == string(data) {
		return
	}
	if !*update {
		t.Fatal("doc.go is out of date; run: go test ./agent/config -update")
	}
	if err := os.WriteFile("doc.go", []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPackageCommentShowsMinimalFile(t *testing.T) {
	data, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	comment := "//\t" + strings.ReplaceAll(strings.TrimSuffix(Minimal, "\n"), "\n", "\n//\t") + "\n"
	if !strings.Contains(string(data), comment) {
		t.Error("doc.go does not show Minimal")
	}
}
