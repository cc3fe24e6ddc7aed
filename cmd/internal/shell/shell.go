// Package shell finds the commands in a text for a shell, so that tests can try what the
// documentation shows.
package shell

import "strings"

// A Command is a program and its arguments.
type Command []string

// String returns it as one writes it.
func (c Command) String() string { return strings.Join(c, " ") }

// Commands returns the commands of a text. It knows as much of a shell as the documentation
// uses: quotes, comments, lines that go on, |, ;, && and redirections, which it leaves out,
// as it does sudo and assignments before a command.
func Commands(text string) (found []Command) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for len(text) > 0 {
		var c Command
		if c, text = next(text); len(c) > 0 {
			found = append(found, c)
		}
	}
	return found
}

// next returns the first command, and what is behind it.
func next(text string) (c Command, rest string) {
	for {
		word, quoted, after := nextWord(text)
		text = after
		switch {
		case quoted:
		case word == "" || word == "\n" || strings.Trim(word, "|;&") == "":
			return c, text
		case strings.HasPrefix(word, "<") || strings.HasPrefix(strings.TrimLeft(word, "12"), ">"):
			if strings.Trim(word, "12<>") == "" {
				_, _, text = nextWord(text) // the file
			}
			continue
		case len(c) == 0 && (word == "sudo" || strings.Contains(word, "=")):
			continue
		}
		c = append(c, word)
	}
}

// nextWord returns a word, without its quotes, or what ends a command: a newline, an
// operator, or nothing at the end of the text.
func nextWord(text string) (word string, quoted bool, rest string) {
	text = strings.TrimLeft(text, " \t")
	if strings.HasPrefix(text, "#") {
		if _, after, ok := strings.Cut(text, "\n"); ok {
			return "\n", false, after
		}
		return "", false, ""
	}
	if text != "" && strings.ContainsRune("\n|;&", rune(text[0])) {
		rest = strings.TrimLeft(text[1:], text[:1])
		return text[:1], false, rest
	}
	for text != "" {
		switch c := text[0]; c {
		case ' ', '\t', '\n', '|', ';':
			return word, quoted, text
		case '&':
			if !strings.HasSuffix(word, ">") { // 2>&1
				return word, quoted, text
			}
		case '\'', '"':
			in, after, _ := strings.Cut(text[1:], string(c))
			word, quoted, text = word+in, true, after
			continue
		}
		word, text = word+text[:1], text[1:]
	}
	return word, quoted, ""
}
