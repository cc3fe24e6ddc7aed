package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker (-X main.version=1.2.3) when a release is built.
var version string

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: `  redis-cert-ca version`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return printVersion(cmd) },
	}
}

func printVersion(cmd *cobra.Command) error {
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprintln(cmd.OutOrStdout(), versionLine(version, info))
	return err
}

// versionLine names this program's version, that of the step-ca in it, and the
// Go release it was built with. info may be nil.
func versionLine(release string, info *debug.BuildInfo) string {
	if info == nil {
		info = &debug.BuildInfo{GoVersion: "unknown"}
	}
	if release == "" {
		release = info.Main.Version
	}
	if release == "" {
		release = "(devel)"
	}
	step := "unknown"
	for _, m := range info.Deps {
		if m.Path == "github.com/smallstep/certificates" {
			step = m.Version
		}
	}
	return fmt.Sprintf("redis-cert-ca %s (step-ca %s, %s)", release, step, info.GoVersion)
}
