package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"redis-cert-agent/agent/option"
)

// hostNames are what names may take from the host, as in a unit of systemd
// (systemd.unit(5), specifiers), so that one file is for all hosts.
const hostNames = "%H is the name of this host, and %l the part before its first dot"

// parseName is [option.ParseName], with the names of this host in it.
func parseName(text string) (string, error) {
	if _, zone, ok := strings.Cut(text, "%"); !ok || strings.Contains(text, ":") && zone != "" { // fe80::1%eth0
		return option.ParseName(text)
	}
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	name, err := withHost(text, host)
	if err != nil {
		return "", err
	}
	parsed, err := option.ParseName(name)
	if err != nil {
		return "", fmt.Errorf("is %s on this host, which %w", option.Quote(name), err)
	}
	return parsed, nil
}

// withHost puts the name of the host in the place of %H, and the part before its first dot
// in that of %l.
func withHost(text, host string) (string, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	short, _, _ := strings.Cut(host, ".")
	name := strings.NewReplacer("%H", host, "%l", short).Replace(text)
	if strings.Contains(name, "%") {
		return "", errors.New("has a % that stands for nothing: " + hostNames)
	}
	return name, nil
}
