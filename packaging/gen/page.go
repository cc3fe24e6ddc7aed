package main

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"redis-cert-agent/agent/config"
)

// tails hold what --help does not tell: files, exit status, signals. They are
// roff, for the end of the page of the same name.
//
//go:embed tails
var tails embed.FS

// commandPage returns the man page of a program, in the man macros
// (groff_man(7)).
func commandPage(c command, version, date string) (string, error) {
	var b strings.Builder
	title(&b, c.path, 8, version, date)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", escape(c.path), escape(lowerFirst(summary(c))))
	b.WriteString(".SH SYNOPSIS\n.nf\n")
	for _, sub := range c.commands {
		fmt.Fprintf(&b, ".B %s\n", escape(sub.usage))
	}
	b.WriteString(".fi\n.SH DESCRIPTION\n")
	paragraphs(&b, c.long)
	b.WriteString(".SH COMMANDS\n")
	for _, sub := range c.commands {
		fmt.Fprintf(&b, ".SS %s\n", escape(strings.TrimPrefix(sub.path, c.path+" ")))
		paragraphs(&b, sub.long)
		options(&b, sub.flags)
		examples(&b, sub.examples)
	}
	b.WriteString(".SH OPTIONS\n")
	options(&b, append(c.flags, option{"-h, --help", "print what a command does"}))
	tail, err := fs.ReadFile(tails, "tails/"+c.path+".8")
	if err != nil {
		return "", err
	}
	b.Write(tail)
	return b.String(), nil
}

// summary is the first line of what the program is for.
func summary(c command) string {
	first, _, _ := strings.Cut(strings.ReplaceAll(c.long, "\n", " "), ": ")
	return strings.TrimSuffix(first, ".")
}

// configPage returns redis-cert-agent.yaml(5).
func configPage(version, date string) string {
	var b strings.Builder
	title(&b, "redis-cert-agent.yaml", 5, version, date)
	b.WriteString(`.SH NAME
redis\-cert\-agent.yaml \- configuration of redis\-cert\-agent
.SH SYNOPSIS
.I /etc/redis\-cert\-agent/config.yaml
.br
.I /etc/redis\-cert\-agent/INSTANCE.yaml
.SH DESCRIPTION
One file describes one certificate, the CA it comes from, and the servers on this
host that load it. It is YAML 1.2. A faulty file is refused whole, with every
fault, its line and its remedy; a key that is not known is a fault.
.PP
The shortest useful file:
`)
	verbatim(&b, config.Minimal)
	b.WriteString(`.PP
A time is a number with a unit, like 90s, 20m, 24h or 7d. A secret stands in a
file that others cannot access, or comes as a credential of the unit
.RB ( systemd.exec (5)).
.SH KEYS
A dot leads into a mapping, and [] stands for the elements of a list. What takes
effect on reload needs
.BR "systemctl reload redis\-cert\-agent" ,
the rest a restart of the agent.
`)
	for _, f := range config.Reference() {
		fmt.Fprintf(&b, ".TP\n.B %s\n%s.\n.br\n%s Takes effect %s.\n.br\nExample: %s\n",
			escape(f.Key), escape(upperFirst(f.Meaning)), escape(withoutKey(f)), takesEffect(f), escape(f.Example))
	}
	tail, err := fs.ReadFile(tails, "tails/redis-cert-agent.yaml.5")
	if err != nil {
		panic(err) // it is embedded
	}
	b.Write(tail)
	return b.String()
}

// withoutKey tells what holds without the key.
func withoutKey(f config.Field) string {
	if f.Default == "" {
		return "Required."
	}
	return "Default: " + f.Default + "."
}

func takesEffect(f config.Field) string {
	if f.Restart {
		return "on restart"
	}
	return "on reload"
}

func title(b *strings.Builder, name string, section int, version, date string) {
	fmt.Fprintf(b, ".TH %s %d %s \"redis-cert-agent %s\"\n", strings.ToUpper(escape(name)), section, date, escape(version))
	b.WriteString(".\\\" Made by packaging/gen.\n.ad l\n.nh\n")
}

// paragraphs writes text; what is indented in it stays as it is.
func paragraphs(b *strings.Builder, text string) {
	for i, p := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		if strings.HasPrefix(p, " ") {
			verbatim(b, p)
			continue
		}
		b.WriteString(escape(p) + "\n")
	}
}

func options(b *strings.Builder, all []option) {
	for _, o := range all {
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", escape(o.flag), escape(o.meaning))
	}
}

func examples(b *strings.Builder, text string) {
	if text == "" {
		return
	}
	b.WriteString(".PP\n")
	verbatim(b, text)
}

// verbatim writes lines as they are, but for the blanks that all begin with.
func verbatim(b *strings.Builder, text string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	margin := len(text)
	for _, line := range lines {
		if rest := strings.TrimLeft(line, " "); rest != "" {
			margin = min(margin, len(line)-len(rest))
		}
	}
	b.WriteString(".RS 4\n.nf\n")
	for _, line := range lines {
		b.WriteString(escape(line[min(margin, len(line)):]) + "\n")
	}
	b.WriteString(".fi\n.RE\n")
}

// escape keeps roff from reading text as requests. A minus is \-, or it would
// come out as a hyphen that no shell takes.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
