package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/discover"
)

// What the shells offer after a Tab, besides commands and flags. A configuration that
// cannot be read offers nothing.

// instances are where the configurations of redis-cert-agent and redis-cert-agent@NAME are.
var instances = filepath.Join(filepath.Dir(defaultConfig), "*.yaml")

// completeConfig offers the instances of this host, and files where there are none.
func completeConfig(cmd *cobra.Command) {
	complete(cmd, "config", func(typed string) ([]string, cobra.ShellCompDirective) {
		all, _ := filepath.Glob(instances)
		all = slices.DeleteFunc(all, func(path string) bool { return !strings.HasPrefix(path, typed) })
		return all, cobra.ShellCompDirectiveDefault
	})
}

// completePairs offers the names of the clients' pairs.
func completePairs(cmd *cobra.Command, path *string) {
	complete(cmd, "pair", func(string) (names []string, _ cobra.ShellCompDirective) {
		if c, err := config.LoadWithoutSecrets(*path); err == nil {
			for _, p := range c.ClientPairs {
				names = append(names, p.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// completeTargets offers the servers that the configuration names, and those of this host.
func completeTargets(cmd *cobra.Command, path *string, places discover.Places) {
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		all := addresses(places)
		if c, err := config.LoadWithoutSecrets(*path); err == nil {
			for _, s := range c.Servers {
				all = append(all, s.Address)
			}
		}
		all = slices.DeleteFunc(all, func(a string) bool { return slices.Contains(args, a) || strings.HasPrefix(a, "/") })
		slices.Sort(all)
		return slices.Compact(all), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeInit offers what init can be about on this host.
func completeInit(cmd *cobra.Command, places discover.Places) {
	completeWords(cmd, "auth-clients", "yes", "no", "optional")
	complete(cmd, "server", func(string) ([]string, cobra.ShellCompDirective) {
		return addresses(places), cobra.ShellCompDirectiveNoFileComp
	})
	complete(cmd, "from", func(string) (units []string, _ cobra.ShellCompDirective) {
		found, _ := filepath.Glob("/etc/systemd/system/timers.target.wants/cert-renewer@*.timer")
		for _, path := range found {
			units = append(units, strings.TrimSuffix(filepath.Base(path), ".timer"))
		}
		return units, cobra.ShellCompDirectiveNoFileComp
	})
}

// addresses are those of the servers of this host.
func addresses(places discover.Places) (all []string) {
	for _, s := range places.Find().Servers {
		if a := s.Address(); a != "" {
			all = append(all, a)
		}
	}
	return all
}

// completeWords offers the values that a flag takes.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	complete(cmd, flag, func(string) ([]string, cobra.ShellCompDirective) { return words, cobra.ShellCompDirectiveNoFileComp })
}

func complete(cmd *cobra.Command, flag string, offer func(typed string) ([]string, cobra.ShellCompDirective)) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return offer(typed)
	})
	if err != nil {
		panic(err) // there is no such flag: every test fails
	}
}
