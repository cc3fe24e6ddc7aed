package config

import (
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Challenge says how an ACME CA gets to see that the names are this host's.
// Exactly one kind is set.
type Challenge struct {
	HTTP01    *HTTP01
	TLSALPN01 *TLSALPN01
	DNS01     *DNS01
}

// HTTP01 answers over HTTP (RFC 8555, 8.3). The CA asks port 80 of each name.
type HTTP01 struct {
	Listen string // host:port; the host may be empty
}

// TLSALPN01 answers in a TLS handshake (RFC 8737). The CA asks port 443 of
// each name.
type TLSALPN01 struct {
	Listen string // host:port; the host may be empty
}

// DNS01 puts TXT records into the DNS (RFC 8555, 8.4): by dynamic updates to
// Server (RFC 2136), or by Command. Exactly one of the two is set, and what
// belongs to Server means nothing with Command.
type DNS01 struct {
	Server        string        // host:port
	Zone          string        // lower case, without the last dot
	TSIGName      string        // lower case, without the last dot; empty: updates are not signed
	TSIGAlgorithm string        // one of TSIGAlgorithms
	TSIGSecret    Secret        // base64; set if and only if TSIGName is
	TTL           time.Duration // whole seconds

	Command []string // an absolute path, and arguments that go before the agent's own

	Wait time.Duration // how long at most until the record is seen
}

// ChallengeTypes lists the kinds of a challenge, the default first.
var ChallengeTypes = []string{"http-01", "tls-alpn-01", "dns-01"}

// TSIGAlgorithms lists the values of tsig_algorithm, the default first: those
// of RFC 8945, 6, without the ones that it advises against.
var TSIGAlgorithms = []string{"hmac-sha256", "hmac-sha224", "hmac-sha384", "hmac-sha512"}

func defaultHTTP01() *HTTP01       { return &HTTP01{Listen: ":80"} }
func defaultTLSALPN01() *TLSALPN01 { return &TLSALPN01{Listen: ":443"} }

func defaultDNS01() *DNS01 {
	return &DNS01{TSIGAlgorithm: TSIGAlgorithms[0], TTL: time.Minute, Wait: 2 * time.Minute}
}

// challenge decodes the name of a kind, or a mapping that has one key, the
// kind.
func (d *document) challenge(dst *Challenge) decoder {
	return func(field string, n ast.Node) {
		*dst = Challenge{}
		if text, ok := scalar(n); ok {
			d.texts[field] = text
			d.challengeName(dst, field, text)
			return
		}
		before := len(d.faults)
		d.mapping(field, n, keys{
			"http-01": func(field string, n ast.Node) {
				dst.HTTP01 = defaultHTTP01()
				d.mapping(field, n, keys{"listen": d.text(&dst.HTTP01.Listen)})
			},
			"tls-alpn-01": func(field string, n ast.Node) {
				dst.TLSALPN01 = defaultTLSALPN01()
				d.mapping(field, n, keys{"listen": d.text(&dst.TLSALPN01.Listen)})
			},
			"dns-01": func(field string, n ast.Node) {
				dst.DNS01 = defaultDNS01()
				d.dns01(dst.DNS01)(field, n)
			},
		})
		if *dst == (Challenge{}) && len(d.faults) > before {
			d.broken[field] = true // that no kind is set only follows
		}
	}
}

func (d *document) challengeName(dst *Challenge, field, text string) {
	switch text {
	case "http-01":
		dst.HTTP01 = defaultHTTP01()
	case "tls-alpn-01":
		dst.TLSALPN01 = defaultTLSALPN01()
	case "dns-01":
		dst.DNS01 = defaultDNS01()
	default:
		d.fault(field, "%s is not known; %s", quote(text), meant(text, ChallengeTypes))
	}
}

func (d *document) dns01(c *DNS01) decoder {
	return d.section(keys{
		"server":           d.text(&c.Server),
		"zone":             into(d, &c.Zone, normalZone),
		"tsig_name":        into(d, &c.TSIGName, normalKeyName),
		"tsig_algorithm":   d.text(&c.TSIGAlgorithm),
		"tsig_secret_file": d.secret(&c.TSIGSecret),
		"ttl":              into(d, &c.TTL, parseDuration),
		"command":          d.command(&c.Command),
		"wait":             into(d, &c.Wait, parseDuration),
	})
}

// command decodes a program and its arguments.
func (d *document) command(dst *[]string) decoder {
	return func(field string, n ast.Node) {
		const hint = "no shell splits it: write the program and its arguments in brackets, like [/usr/local/bin/dns-hook, --zone, internal]"
		d.sequence(field, n, hint, func(f string, n ast.Node) {
			var s string
			d.text(&s)(f, n)
			*dst = append(*dst, s)
		})
	}
}
