package cert

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// A block is one block of a PEM text.
type block struct {
	label        string // CERTIFICATE
	header       string // what stands before an empty line; mostly nothing
	der          []byte
	number, line int // its place: the number of the block, and the line of its BEGIN
}

// A PEMError says what is wrong with a PEM text that OpenSSL, and so redis, does not load.
type PEMError struct {
	Text string
	Hint string // what to do about it
}

func (e *PEMError) Error() string { return e.Text + ": " + e.Hint }

// damage is the fault of one block.
func (b *block) damage(format string, args ...any) error {
	return &PEMError{
		fmt.Sprintf("block %d, the %s at line %d, is damaged, and redis does not load the file: %s", b.number, b.label, b.line, fmt.Sprintf(format, args...)),
		"put a whole one there",
	}
}

// A pemReader reads PEM blocks as PEM_read_bio_ex(3) of OpenSSL 3 does, which is how redis
// reads its files. encoding/pem passes over a damaged block in silence, where OpenSSL
// refuses the whole file, and knows no byte order mark.
type pemReader struct {
	text   []byte
	line   int // the last one that was read, counted from 1
	broken bool
	blocks int
}

// longestLine is how much OpenSSL takes of a line at once; the rest is the next line.
const longestLine = 254

// gets reads a line with its end, as fgets(3) does. A zero byte ends it for whoever looks
// at it as a string, and at its beginning ends the file.
func (r *pemReader) gets() (line []byte, ok bool) {
	if !r.broken {
		r.line++
	}
	n := min(len(r.text), longestLine)
	if i := bytes.IndexByte(r.text[:n], '\n'); i >= 0 {
		n = i + 1
	}
	line, r.text = r.text[:n], r.text[n:]
	r.broken = n > 0 && line[n-1] != '\n'
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	return line, len(line) > 0
}

// trimLine takes blanks and line ends off the end. OpenSSL compares signed characters, so
// that all but ASCII counts as a blank.
func trimLine(line []byte) []byte {
	for len(line) > 0 && int8(line[len(line)-1]) <= ' ' {
		line = line[:len(line)-1]
	}
	return line
}

// next returns the next block, whatever its label; io.EOF after the last one. Any other
// error is a [*PEMError].
func (r *pemReader) next() (*block, error) {
	for first := true; ; first = false {
		line, ok := r.gets()
		if !ok {
			return nil, io.EOF
		}
		if first && len(line) > 3 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		name, begins := bytes.CutPrefix(trimLine(line), []byte("-----BEGIN "))
		name, ends := bytes.CutSuffix(name, []byte("-----"))
		if begins && ends {
			r.blocks++
			b := &block{label: string(name), number: r.blocks, line: r.line}
			return b, r.body(b)
		}
	}
}

// body reads the lines of a block. Before an empty line stands its header, if it has one.
func (r *pemReader) body(b *block) error {
	var lines strings.Builder
	split, inHeader, short := false, false, false
	for {
		rest := r.broken // the end of a line that was too long is no empty line
		line, ok := r.gets()
		if !ok {
			return b.damage("its end is missing")
		}
		inHeader = inHeader || !split && bytes.IndexByte(line, ':') >= 0
		line = trimLine(line)
		end, ends := bytes.CutPrefix(line, []byte("-----END "))
		switch {
		case len(line) == 0 && rest:
			continue
		case len(line) == 0 && split:
			return b.damage("there is an empty line in it, line %d", r.line)
		case len(line) == 0:
			split, b.header = true, lines.String()
			lines.Reset()
			continue
		case ends && string(end) != b.label+"-----":
			return b.damage("line %d is not its END", r.line)
		case ends && inHeader && !split:
			return b.damage("its header has no end, which is an empty line")
		case ends:
			return b.decode(lines.String())
		case short || split && len(line) > 64:
			return b.damage("line %d is longer or shorter than the lines below a header are", r.line)
		}
		short = split && len(line) < 64
		lines.Write(line)
		lines.WriteByte('\n')
	}
}

// decode reads the base64 of a block, as EVP_DecodeUpdate(3) does.
func (b *block) decode(data string) error {
	data, _, _ = strings.Cut(data, "-")
	digits, padding := make([]byte, 0, len(data)), 0
	line := b.line + 1
	for i := range len(data) {
		c := data[i]
		switch {
		case c == '\n':
			line++
			continue
		case c == ' ' || c == '\t' || c == '\r':
			continue
		case c == '=' && padding < 2:
			padding++
		case padding > 0 || !isBase64(c):
			if b.header != "" {
				return b.damage("there is something in it that is not base64")
			}
			return b.damage("there is something in line %d that is not base64", line)
		}
		digits = append(digits, c)
	}
	switch {
	case len(digits) == 0:
		return b.damage("there is nothing in it")
	case len(digits)%4 != 0:
		return b.damage("a piece of its base64 is missing")
	}
	der, err := base64.StdEncoding.DecodeString(string(digits))
	if err != nil {
		return b.damage("%v", err)
	}
	b.der = der
	return nil
}

func isBase64(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}
