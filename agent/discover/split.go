package discover

import "errors"

var errQuotes = errors.New("unbalanced quotes")

// split takes a line apart as Redis' own sdssplitargs does (src/sds.c): blanks
// separate; "double quotes" know \n, \r, \t, \b, \a, \xHH and take any other character
// after a backslash as it is; 'single quotes' know \' alone; a closing quote is
// followed by a blank or the end.
func split(line string) ([]string, error) {
	var args []string
	for i := 0; ; {
		for i < len(line) && isBlank(line[i]) {
			i++
		}
		if i == len(line) || line[i] == 0 {
			return args, nil
		}
		arg, next, err := one(line, i)
		if err != nil {
			return nil, err
		}
		args, i = append(args, arg), next
	}
}

// one reads the argument that begins at i, and returns where it ended.
func one(line string, i int) (arg string, next int, err error) {
	var text []byte
	for i < len(line) {
		switch c := line[i]; c {
		case ' ', '\n', '\r', '\t', 0:
			return string(text), i, nil
		case '"', '\'':
			var quoted []byte
			if quoted, i, err = unquote(line, i+1, c); err != nil {
				return "", 0, err
			}
			return string(append(text, quoted...)), i, nil
		default:
			text = append(text, c)
			i++
		}
	}
	return string(text), i, nil
}

// unquote reads up to the closing quote and past it.
func unquote(line string, i int, quote byte) (text []byte, next int, err error) {
	for i < len(line) {
		c := line[i]
		i++
		switch {
		case c == quote:
			if i < len(line) && !isBlank(line[i]) && line[i] != 0 {
				return nil, 0, errQuotes
			}
			return text, i, nil
		case c != '\\' || i == len(line) || quote == '\'' && line[i] != '\'':
			text = append(text, c)
			continue
		}
		if quote == '"' && line[i] == 'x' && i+2 < len(line) && isHex(line[i+1]) && isHex(line[i+2]) {
			text = append(text, hex(line[i+1])<<4|hex(line[i+2]))
			i += 3
			continue
		}
		text = append(text, escaped(line[i], quote))
		i++
	}
	return nil, 0, errQuotes
}

func escaped(c, quote byte) byte {
	if quote == '\'' {
		return c
	}
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

// isBlank is isspace(3) of the C locale.
func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func hex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
