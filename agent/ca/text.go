package ca

import (
	"regexp"

	"redis-cert-agent/agent/plain"
)

// MaxMessage bounds the characters of one message of an authority.
const MaxMessage = 300

// token matches a JWT in compact form: its header is JSON in base64url.
var token = regexp.MustCompile(`eyJ[A-Za-z0-9_.-]{16,}`)

// Clean makes foreign text fit for one line of a log: it hides tokens that the
// other side repeats, and shortens the text to n characters.
func Clean(s string, n int) string {
	return plain.Clip(plain.OneLine(token.ReplaceAllString(s, "[token]")), n)
}
