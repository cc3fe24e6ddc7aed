package option

import (
	"encoding/hex"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// The functions here turn the text of one value into what it means. Their errors
// follow the quoted value in a message: `"5 sec" is not a duration; …`.

// ParseDuration takes what time.ParseDuration takes, and whole or broken numbers
// of days first: 36h, 1.5d, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
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

// ParsePercent takes a share of a lifetime, like 5%, and returns 0.05.
func ParsePercent(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || !percent && n != 0 {
		return 0, errors.New("is not a share of the lifetime; write it in percent, like 5%")
	}
	return n / 100, nil
}

// ParseFingerprint takes a SHA-256 in hex and returns it in lower case, without
// the colons that other programs print.
func ParseFingerprint(s string) (string, error) {
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

// ParseName takes a DNS name, which it returns in lower case, or an IP address,
// which it returns in its canonical form, so that two spellings of one name are
// one name.
func ParseName(s string) (string, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return ip.Unmap().String(), nil
	}
	name := strings.ToLower(s)
	if fault := nameFault(name); fault != "" {
		return "", errors.New(fault)
	}
	return name, nil
}

// ParseZone takes a DNS zone and returns it in lower case, without the last dot.
func ParseZone(s string) (string, error) {
	zone := strings.TrimSuffix(strings.ToLower(s), ".")
	if nameFault(zone) != "" || strings.HasPrefix(zone, "*") {
		return "", errors.New("is not a DNS zone; write it like internal or example.com")
	}
	return zone, nil
}

// nameFault tells what keeps a name in lower case from being a DNS name in a
// certificate, or returns "". A wildcard may stand for the whole first label (RFC
// 6125, 6.4.3). Underscores are tolerated: container names have them.
func nameFault(name string) string {
	const neither = "is neither a DNS name nor an IP address; write it like redis1.internal or 10.0.0.5"
	if strings.HasSuffix(name, ".") && len(name) > 1 {
		return "ends in a dot; leave the dot out"
	}
	rest := strings.TrimPrefix(name, "*.")
	if rest == "" || len(name) > 253 {
		return neither
	}
	if strings.ContainsFunc(rest, func(r rune) bool { return r > 127 }) {
		return "has letters outside of ASCII; write the name in its xn-- form"
	}
	last := ""
	for label := range strings.SplitSeq(rest, ".") {
		if !isLabel(label) {
			return neither
		}
		last = label
	}
	// 10.0.0.500 is a mistyped address, not a name.
	if _, err := strconv.Atoi(last); err == nil {
		return neither
	}
	return ""
}

func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
