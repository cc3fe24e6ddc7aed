package option

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// MaxSocketPath is what fits into sun_path with its closing zero (unix(7)).
const MaxSocketPath = 107

// Absolute reports a path that does not begin at the root.
func Absolute(r Report, field, path string) {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		r.Fault(field, "%s is not an absolute path; begin it with /", Quote(path))
	}
}

// AbsoluteOrNone is Absolute for a path that may be left out.
func AbsoluteOrNone(r Report, field, path string) {
	if path != "" || r.Given(field) {
		Absolute(r, field, path)
	}
}

// Positive reports a time that bounds a wait and leaves none.
func Positive(r Report, field string, d time.Duration) {
	if d <= 0 {
		r.Fault(field, "%s is not a time to wait; write it like 5s", d)
	}
}

// OneOf reports a word that is not among those that are known.
func OneOf[T ~string](r Report, field string, value T, known []T) {
	if slices.Contains(known, value) {
		return
	}
	words := make([]string, len(known))
	for i, k := range known {
		words[i] = string(k)
	}
	r.Fault(field, "%s is not known; %s", Quote(string(value)), Meant(string(value), words))
}

// Word reports a word that only the other side can judge further, and that is
// no word at all. It may be left out.
func Word(r Report, field, value, what, example string) {
	if value == "" && !r.Given(field) {
		return
	}
	if strings.TrimSpace(value) == "" || strings.ContainsFunc(value, unicode.IsControl) {
		r.Fault(field, "%s is not %s; write it like %s, or leave it out for the CA's default", Quote(value), what, example)
	}
}

// Address reports what is wrong with HOST:PORT, and returns the host; "" when it
// reported something. The hint says how to write one.
func Address(r Report, field, address, hint string) (host string) {
	host, fault := SplitAddress(address)
	if fault != "" {
		r.Fault(field, "%s %s; %s", Quote(address), fault, hint)
		return ""
	}
	return host
}

// Listen reports what is wrong with an address to listen at, whose host may be
// empty for all addresses. The hint says how to write one.
func Listen(r Report, field, address, hint string) {
	full := address
	if strings.HasPrefix(address, ":") {
		full = "0.0.0.0" + address
	}
	if _, fault := SplitAddress(full); fault != "" {
		r.Fault(field, "%s %s; %s", Quote(address), fault, hint)
	}
}

// SplitAddress returns the host of HOST:PORT, or what is wrong with it.
func SplitAddress(address string) (host, fault string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil && !strings.HasSuffix(address, "]") && strings.Count(address, ":") > 1 {
		return "", "is an IPv6 address without brackets"
	}
	if err != nil {
		return "", "has no port"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "has no port between 1 and 65535"
	}
	if _, err := netip.ParseAddr(host); err != nil && nameFault(strings.ToLower(host)) != "" {
		return "", "does not name a host"
	}
	return host, ""
}

// Loopback says whether host is this host by nature.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// CA reports what is wrong with the URL of a certificate authority, like example.
// It quotes none that may hold a password.
func CA(r Report, field, text, example string) {
	if text == "" {
		r.Fault(field, "missing; write it like %s", example)
		return
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && u.User != nil || strings.Contains(text, "@"):
		r.Fault(field, "the URL has a user or password in it; write it like %s", example)
	case err == nil && u.Scheme == "http":
		r.Fault(field, "%s is not encrypted; write https:// instead of http://", Quote(text))
	case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		r.Fault(field, "%s is not the URL of a CA; write it like %s", Quote(text), example)
	}
}

// Command reports what is wrong with a program and its arguments, like example.
// No shell runs it, so the program is an absolute path.
func Command(r Report, field string, command []string, example string) {
	if len(command) == 0 {
		r.Fault(field, "this names no program; write the program and its arguments, like %s", example)
		return
	}
	Absolute(r, field+"[0]", command[0])
	for i, argument := range command {
		if strings.ContainsRune(argument, 0) {
			r.Fault(fmt.Sprintf("%s[%d]", field, i), "this has a zero byte, which no program can be given; leave it out")
		}
	}
}
