package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// A command is what --help tells of one.
type command struct {
	path     string // "redis-cert-agent renew"
	short    string // from the list of the command above
	long     string
	usage    string
	examples string
	flags    []option
	commands []command
}

// An option is one flag: "-c, --config string" and what it means.
type option struct{ flag, meaning string }

// askCommand runs program with --help, for itself and for each of its commands.
func askCommand(program, path string, args ...string) (command, error) {
	out, err := exec.Command(program, append(args, "--help")...).Output()
	if err != nil {
		return command{}, fmt.Errorf("%s --help: %w", path, err)
	}
	c := parseHelp(path, string(out))
	for i, sub := range c.commands {
		name := strings.TrimPrefix(sub.path, path+" ")
		asked, err := askCommand(program, sub.path, append(args, name)...)
		if err != nil {
			return command{}, err
		}
		asked.short = sub.short
		c.commands[i] = asked
	}
	return c, nil
}

// parseHelp takes cobra's help apart: a text, and then sections that begin with
// a line at the left margin that ends in a colon. "Global Flags" stands in the
// help of the program itself as well, as its own.
func parseHelp(path, help string) command {
	c := command{path: path}
	sections := map[string]string{}
	section := ""
	for line := range strings.Lines(help) {
		if title, ok := strings.CutSuffix(strings.TrimRight(line, "\n"), ":"); ok && isSection(title) {
			section = title
			continue
		}
		if strings.HasPrefix(line, `Use "`) {
			continue
		}
		sections[section] += line
	}
	c.long = strings.TrimSpace(sections[""])
	c.usage = strings.TrimSpace(strings.Split(strings.TrimSpace(sections["Usage"]), "\n")[0])
	c.examples = strings.Trim(sections["Examples"], "\n")
	c.flags = parseOptions(sections["Flags"])
	for _, o := range parseOptions(sections["Available Commands"]) {
		// The two that cobra brings are told in one sentence each.
		if o.flag != "completion" && o.flag != "help" {
			c.commands = append(c.commands, command{path: path + " " + o.flag, short: o.meaning})
		}
	}
	return c
}

func isSection(title string) bool {
	switch title {
	case "Usage", "Examples", "Available Commands", "Flags", "Global Flags":
		return true
	}
	return false
}

var optionLine = regexp.MustCompile(`^  ?( {4}|)(\S.*?)  +(\S.*)$`)

// parseOptions reads lines of a name and a meaning, apart by at least two
// spaces. A line that begins further right goes on with the meaning.
func parseOptions(text string) []option {
	var all []option
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		m := optionLine.FindStringSubmatch(line)
		switch {
		case m != nil:
			all = append(all, option{m[2], m[3]})
		case strings.TrimSpace(line) != "" && len(all) > 0:
			all[len(all)-1].meaning += " " + strings.TrimSpace(line)
		}
	}
	var own []option
	for _, o := range all {
		if !strings.HasPrefix(o.flag, "-h, --help") {
			own = append(own, o)
		}
	}
	return own
}
