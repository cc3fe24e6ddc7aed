package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"redis-cert-agent/cmd/internal/shell"
)

// all returns cmd and the commands below it that people see.
func all(cmd *cobra.Command) []*cobra.Command {
	found := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			found = append(found, all(c)...)
		}
	}
	return found
}

// Every command's help has examples, which the program's own flags and commands make up.
func TestHelpHasExamples(t *testing.T) {
	for _, cmd := range all(newRootCommand()) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			var out bytes.Buffer
			args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
			if code := run(context.Background(), args, &out, &out); code != 0 || !strings.Contains(out.String(), "\nExamples:\n") {
				t.Fatalf("exit code %d, or no examples in\n%s", code, &out)
			}
			if !strings.Contains(cmd.Example, cmd.CommandPath()) {
				t.Errorf("the examples do not show %s", cmd.CommandPath())
			}
			for _, line := range shell.Commands(cmd.Example) {
				if line[0] != "redis-cert-agent" {
					continue
				}
				if err := parses(line); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// So does make, whose commands say nothing for minutes.
func TestMakeOnTerminal(t *testing.T) {
	ctrl, tty := terminal(t)
	told, text := make(chan struct{}), make(chan string)
	go func() { text <- readTerminal(ctrl, "testing, 1 s\r", told) }()
	cmd := exec.Command("../../packaging/progress.sh", "testing", "sh", "-c", "read line; echo done; exit 7")
	cmd.Stdout, cmd.Stderr = tty, tty
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-told
	in.Close()
	err = cmd.Wait()
	tty.Close()
	if out := <-text; cmd.ProcessState.ExitCode() != 7 || !strings.Contains(out, "\rdone\r\n") || !strings.HasSuffix(out, "\x1b[K") {
		t.Errorf("%v, and on the terminal %q", err, out)
	}
}

// Whoever waits for longer than a second is told what for, on a terminal.
func TestWaitingOnTerminal(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	text := fmt.Sprintf("issuer: none\nnames: [redis.internal]\nservers: [localhost:6379]\npaths: {cert: %[1]s/a.crt, key: %[1]s/a.key, ca: %[1]s/ca.crt}\ncontrol: %[1]s/sock\n", dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, says string }{
		{"status", "the agent looks, 1 s"},
		{"renew", "renewing, 1 s"},
		{"renew --dry-run", "trying what a renewal needs, 1 s"},
		{"renew --pair x", "renewing x, 1 s"},
		{"reload", "the agent reads its configuration, 1 s"},
		{"notify --test", "telling everybody, 1 s"},
		{"doctor", "looking, 1 s"},
	} {
		t.Run(c.args, func(t *testing.T) {
			os.Remove(filepath.Join(dir, "sock"))
			silent, err := net.Listen("unix", filepath.Join(dir, "sock"))
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			ctrl, tty := terminal(t)
			told, text := make(chan struct{}), make(chan string)
			go func() { text <- readTerminal(ctrl, c.says, told) }()
			ctx, cancel := context.WithCancel(context.Background())
			go func() { <-told; cancel() }()
			run(ctx, append(strings.Fields(c.args), "--config", config), tty, tty)
			tty.Close()
			out := <-text
			if i := strings.LastIndex(out, "\r\x1b[K"); i < strings.LastIndex(out, c.says) {
				t.Errorf("the line stays: %q", out)
			}
		})
	}
}
