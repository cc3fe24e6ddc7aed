package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestReferenceDescribesEveryKey(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Reference() {
		if f.Meaning == "" || f.Example == "" || strings.HasSuffix(f.Meaning, ".") || seen[f.Key] {
			t.Errorf("%s is not described, or twice: %+v", f.Key, f)
		}
		seen[f.Key] = true
	}
	if len(seen) < 80 {
		t.Errorf("%d keys", len(seen))
	}
}

// Every key decodes, its example is accepted, and where the default stands as
// a value it is the default.
func TestReferenceDecodes(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	// What a file means that has what goes together with the key, but not it.
	without := func(key string) *Config {
		text := fileWith("servers[].address", "")
		switch {
		case strings.HasPrefix(key, "issuer.acme."):
			text = acmeWith(key, "")
		case strings.HasPrefix(key, "notify"), strings.HasPrefix(key, "heartbeat"):
			text = notifyWith(key, "")
		case strings.HasPrefix(key, "pairs[]."):
			text = pairWith(key, "")
		}
		c, _ := parse("config.yaml", []byte(text), systemAccounts{})
		return c
	}
	for _, f := range Reference() {
		plain := without(f.Key)
		c, d := parse("config.yaml", []byte(fileWith(f.Key, f.Example)), systemAccounts{})
		if err := d.err(); err != nil {
			t.Errorf("%s: %v", f.Key, err)
			continue
		}
		if f.Example == f.Default || f.Default == "" {
			continue
		}
		if reflect.DeepEqual(c, plain) {
			t.Errorf("%s: %s changes nothing", f.Key, f.Example)
		}
	}
	for _, f := range Reference() {
		if f.Default == "" || strings.ContainsAny(f.Default, " ") || strings.Contains(f.Default, "INSTANCE") || f.Default == "none" {
			continue
		}
		plain := without(f.Key)
		c, d := parse("config.yaml", []byte(fileWith(f.Key, f.Default)), systemAccounts{})
		if err := d.err(); err != nil || !reflect.DeepEqual(c, plain) {
			t.Errorf("%s: %s is not the default: %v", f.Key, f.Default, err)
		}
	}
}

// acmeWith is the minimal file for ACME with one more key, unless it is
// without a value, and with what must go together with it.
func acmeWith(key, value string) string {
	entry := func(key, value string) string {
		if value == "" {
			return ""
		}
		return key + ": " + value + ", "
	}
	const directory = "issuer.acme.directory"
	var lines string
	last := key[strings.LastIndexByte(key, '.')+1:]
	kind := strings.Split(strings.TrimPrefix(key, "issuer.acme.challenge."), ".")[0]
	switch {
	case key == directory:
		return strings.Replace(MinimalACME, "https://ca.internal:9000/acme/acme/directory", value, 1)
	case last == "key_id":
		lines = "eab: {hmac_file: /h, " + entry(last, value) + "}"
	case last == "hmac_file":
		lines = "eab: {key_id: k, " + entry(last, value) + "}"
	case last == "command":
		lines = "challenge: {dns-01: {" + entry(last, value) + "}}"
	case kind == "dns-01":
		all := map[string]string{"server": "'a:53'", "zone": "a"}
		if strings.HasPrefix(last, "tsig") {
			all["tsig_name"], all["tsig_secret_file"] = "a", "/a"
		}
		all[last] = value
		for k, v := range all {
			lines += entry(k, v)
		}
		lines = "challenge: {dns-01: {" + lines + "}}"
	case strings.HasPrefix(key, "issuer.acme.challenge."):
		lines = "challenge: {" + kind + ": {" + entry(last, value) + "}}"
	case value != "":
		lines = last + ": " + value
	}
	return acmeFile(lines)
}

// notifyWith is the minimal file with one more key of notify or heartbeat,
// unless it is without a value, and with what must go together with it.
func notifyWith(key, value string) string {
	path := strings.Split(strings.ReplaceAll(key, "[]", ""), ".")
	last := path[len(path)-1]
	inner := map[string]string{}
	switch {
	case path[1] == "pagerduty":
		inner["key_file"] = "/k"
	case last != "url" && last != "url_file" && last != "command":
		inner["url"] = "https://example.com"
	}
	if value != "" {
		inner[last] = value
	}
	top := path[0] == "heartbeat"
	var outer string
	if !top && len(path) == 2 { // after, repeat, command
		for k, v := range inner {
			if k != "url" {
				outer += k + ": " + v + ", "
			}
		}
		if last != "command" {
			outer += "slack: {url: 'https://example.com'}"
		}
		return Minimal + "notify: [{" + outer + "}]\n"
	}
	for k, v := range inner {
		outer += k + ": " + v + ", "
	}
	if top {
		return Minimal + "heartbeat: {" + outer + "}\n"
	}
	return Minimal + "notify: [{" + path[1] + ": {" + outer + "}}]\n"
}

// pairWith is the minimal file with a client's pair that has one more key, unless it is
// without a value, and what must go together with it.
func pairWith(key, value string) string {
	inner := map[string]string{"name": "a", "names": "[a.internal]"}
	section, last, nested := strings.Cut(strings.TrimPrefix(key, "pairs[]."), ".")
	switch {
	case section == "paths":
		paths := map[string]string{"cert": "/c", "key": "/k"}
		if value != "" {
			paths[last] = value
		}
		inner["paths"] = fmt.Sprintf("{cert: %s, key: %s", paths["cert"], paths["key"])
		if ca := paths["ca"]; ca != "" {
			inner["paths"] += ", ca: " + ca
		}
		inner["paths"] += "}"
	case value == "":
	case nested:
		inner[section] = "{" + last + ": " + value + "}"
	default:
		inner[section] = value
	}
	var all string
	for k, v := range inner {
		all += k + ": " + v + ", "
	}
	return Minimal + "pairs: [{" + all + "}]\n"
}

// fileWith is the minimal file with one more key, and with what must go
// together with it.
func fileWith(key, value string) string {
	if strings.HasPrefix(key, "notify") || strings.HasPrefix(key, "heartbeat") {
		return notifyWith(key, value)
	}
	if strings.HasPrefix(key, "issuer.acme.") {
		return acmeWith(key, value)
	}
	if strings.HasPrefix(key, "pairs[].") {
		return pairWith(key, value)
	}
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
	issuer, step := "", "url: https://ca.internal:9000, fingerprint: "+minimalPrint+", provisioner: redis"
	names, top, server := "[redis1.internal, 10.0.0.5]", "", "address: 127.0.0.1:6379"
	sections := map[string][]string{}
	for k, v := range with {
		section, last, nested := strings.Cut(k, ".")
		switch {
		case k == "issuer":
			issuer = v
		case k == "names":
			names = v
		case strings.HasPrefix(k, "issuer.step."):
			last = strings.TrimPrefix(k, "issuer.step.")
			if inner, ok := strings.CutPrefix(last, "x5c."); ok {
				all := map[string]string{"cert": "/c", "key": "/k"}
				all[inner] = v
				step += fmt.Sprintf(", x5c: {cert: %s, key: %s}", all["cert"], all["key"])
				continue
			}
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
	if issuer == "" {
		issuer = "{step: {" + step + "}}"
	}
	return fmt.Sprintf("issuer: %s\nnames: %s\nservers:\n- %s\n%s", issuer, names, server, top)
}

func TestPackageCommentShowsMinimalFiles(t *testing.T) {
	data, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{Minimal, MinimalACME} {
		comment := "//\t" + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n//\t") + "\n"
		if !strings.Contains(string(data), comment) {
			t.Errorf("doc.go does not show\n%s", text)
		}
	}
}
