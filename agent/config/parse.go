package config

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The functions here turn the text of one value into what it means. Their
// errors follow the quoted value in a message: `"5 sec" is not a duration; …`.

// parseDuration takes what time.ParseDuration takes, and whole or broken
// numbers of days first: 36h, 1.5d, 1d12h.
func parseDuration(s string) (time.Duration, error) {
	bad := errors.New("is not a duration; write it like 5s, 2m, 24h or 7d")
	rest, days := s, 0.0
	if i := strings.IndexByte(s, 'd'); i >= 0 {
		n, err := strconv.ParseFloat(s[:i], 64)
		if err != nil || math.Abs(n) > 36500 || math.IsNaN(n) {
			return 0, bad
		}
		if rest, days = s[i+1:], n; rest == "" {
			rest = "0s"
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || days != 0 && d < 0 || d.Hours() > 36500*24 {
		return 0, bad
	}
	return d + time.Duration(days*24*float64(time.Hour)), nil
}

func parsePercent(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || !percent && n != 0 {
		return 0, errors.New("is not a share of the lifetime; write it in percent, like 5%")
	}
	return n / 100, nil
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

// normalName lower-cases a DNS name and writes an IP address in its canonical
// form, so that two spellings of one name are one name.
func normalName(s string) (string, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return ip.Unmap().String(), nil
	}
	name := strings.ToLower(s)
	if fault := dnsFault(name); fault != "" {
		return "", errors.New(fault)
	}
	return name, nil
}

// dnsFault tells what keeps a name from being a DNS name in a certificate, or
// returns "". A wildcard may stand for the whole first label (RFC 6125, 6.4.3).
// Underscores are tolerated: container names have them.
func dnsFault(name string) string {
	const neither = "is neither a DNS name nor an IP address; write it like redis1.internal or 10.0.0.5"
	if strings.HasSuffix(name, ".") && len(name) > 1 {
		return "ends in a dot; leave the dot out"
	}
	rest := strings.TrimPrefix(name, "*.")
	if rest == "" || len(name) > 253 {
		return neither
	}
	labels := strings.Split(rest, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return neither
		}
		for _, r := range label {
			if r > 127 {
				return "has letters outside of ASCII; write the name in its xn-- form"
			}
			if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
				return neither
			}
		}
	}
	// 10.0.0.500 is a mistyped address, not a name.
	if _, err := strconv.Atoi(labels[len(labels)-1]); err == nil {
		return neither
	}
	return ""
}

// normalFingerprint tolerates colons and upper case.
func normalFingerprint(s string) (string, error) {
	digits := strings.ToLower(strings.ReplaceAll(s, ":", ""))
	raw, err := hex.DecodeString(digits)
	switch {
	case err == nil && len(raw) == 20:
		return "", errors.New("is a SHA-1 fingerprint; write the SHA-256 one, from: step certificate fingerprint root_ca.crt")
	case err != nil || len(raw) != 32:
		return "", errors.New("is not a fingerprint of 64 hex digits; get it from: step certificate fingerprint root_ca.crt")
	}
	return digits, nil
}

func normalURL(s string) (string, error) {
	return strings.TrimRight(s, "/"), nil
}

// normalContact makes a mail address the URL that RFC 8555, 7.3, asks for: one
// address, and no header fields.
func normalContact(s string) (string, error) {
	address := strings.TrimPrefix(s, "mailto:")
	parsed, err := mail.ParseAddress(address)
	_, domain, _ := strings.Cut(address, "@")
	if err != nil || parsed.Address != address || strings.ContainsAny(address, `?%&,/#*"`) || dnsFault(strings.ToLower(domain)) != "" ||
		strings.ContainsFunc(address, func(r rune) bool { return r > 127 }) {
		return "", errors.New("is not a mail address; write it like ops@example.com")
	}
	return "mailto:" + address, nil
}

func normalZone(s string) (string, error) {
	zone := strings.TrimSuffix(strings.ToLower(s), ".")
	if dnsFault(zone) != "" || strings.HasPrefix(zone, "*") {
		return "", errors.New("is not a DNS zone; write it like internal or example.com")
	}
	return zone, nil
}

// normalKeyName takes the name of a TSIG key, which is a domain name in form
// only (RFC 8945, 4.2).
func normalKeyName(s string) (string, error) {
	name := strings.TrimSuffix(strings.ToLower(s), ".")
	if name == "" || len(name) > 253 || strings.Trim(name, letters+digits+"-_.") != "" || strings.Contains("."+name+".", "..") {
		return "", errors.New("is not the name of a TSIG key; write it as the name server knows it, like redis1-key")
	}
	return name, nil
}
