package setup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"redis-cert-agent/agent/plain"
)

// booted says whether systemd runs this host, as sd_booted(3) tells.
func booted() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// systemctl runs it, without a shell and without a question.
func systemctl(ctx context.Context, args ...string) error {
	_, err := ask(ctx, args...)
	return err
}

func ask(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "systemctl", append([]string{"--no-ask-password", "--quiet"}, args...)...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, plain.Clip(plain.OneLine(string(out)), 500))
	}
	return string(out), nil
}

// is says whether systemctl answers yes: is-enabled, is-active.
func is(ctx context.Context, what, unit string) bool {
	_, err := ask(ctx, "is-"+what, unit)
	return err == nil
}
