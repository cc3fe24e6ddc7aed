package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"redis-cert-agent/cmd/internal/process"
)

// start starts a program with the variables env beside this program's own.
func start(log string, env []string, name string, args ...string) (*process.Process, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(plainEnvironment(), env...)
	return process.Start(log, cmd)
}

// plainEnvironment is this program's without what would change the figures: a
// service manager that watches, and settings of the Go runtime.
func plainEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "CREDENTIALS_DIRECTORY",
			"GOGC", "GOMEMLIMIT", "GODEBUG", "GOMAXPROCS", "GOTRACEBACK":
		default:
			env = append(env, v)
		}
	}
	return env
}

// command runs a program to its end. Its error holds what the program said.
func command(ctx context.Context, name string, args ...string) (string, error) {
	return run(exec.CommandContext(ctx, name, args...))
}

func run(cmd *exec.Cmd) (string, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), cmd.Args[1], err, exit.Stderr)
	}
	return string(out), err
}
