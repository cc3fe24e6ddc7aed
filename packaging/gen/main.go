// Gen writes the man pages and the shell completions of the packages. The pages
// of the commands come from what their --help prints, and redis-cert-agent.yaml(5)
// from the reference of package config, so none of them can drift.
//
//	go run ./packaging/gen -version 1.2.3 -o dist/doc bin/redis-cert-agent bin/redis-cert-ca
//
// The date of the pages is SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/).
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

func main() {
	version := flag.String("version", "", "version in the foot of the pages")
	out := flag.String("o", ".", "directory to write to")
	flag.Parse()
	if err := run(*version, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(version, out string, programs []string) error {
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	date := time.Unix(epoch, 0).UTC().Format(time.DateOnly)
	for _, program := range programs {
		name := filepath.Base(program)
		c, err := askCommand(program, name)
		if err != nil {
			return err
		}
		page, err := commandPage(c, version, date)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(out, name+".8"), page); err != nil {
			return err
		}
		for shell, file := range map[string]string{"bash": name, "zsh": "_" + name, "fish": name + ".fish"} {
			script, err := exec.Command(program, "completion", shell).Output()
			if err != nil {
				return fmt.Errorf("%s completion %s: %w", program, shell, err)
			}
			if err := write(filepath.Join(out, shell, file), string(script)); err != nil {
				return err
			}
		}
	}
	return write(filepath.Join(out, "redis-cert-agent.yaml.5"), configPage(version, date))
}

func write(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), fs.FileMode(0o644))
}
