package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Monitor says what is watched beside the pair, and when an end is near.
type Monitor struct {
	Files      []string // PEM files with certificates of others, as clients'; absolute paths
	Warn, Crit Margin
}

// Metrics says where Prometheus finds the metrics beside the control socket.
type Metrics struct {
	Listen   string // host:port, or empty: nowhere
	Textfile string // absolute path that ends in .prom, or empty: nowhere
}

// A Margin is how long before the end of a certificate's life something is due:
// a share of the lifetime, a time, or whichever of both is less.
type Margin struct {
	Share float64       // 0.25 is 25%; 0: no matter
	Time  time.Duration // 0: no matter
}

// ParseMargin takes "25%", "21d", or both as "25%,21d". Its error follows the
// quoted text in a message.
func ParseMargin(s string) (Margin, error) {
	bad := errors.New(`says no time before the end; write a share of the lifetime, a time, or both: 25%, 21d, "25%,21d"`)
	var m Margin
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if strings.HasSuffix(part, "%") {
			share, err := parsePercent(part)
			if err != nil || m.Share != 0 || share <= 0 || share >= 1 {
				return Margin{}, bad
			}
			m.Share = share
			continue
		}
		d, err := parseDuration(part)
		if err != nil || m.Time != 0 || d <= 0 {
			return Margin{}, bad
		}
		m.Time = d
	}
	return m, nil
}

// String writes the margin as ParseMargin takes it.
func (m Margin) String() string {
	var parts []string
	if m.Share != 0 {
		parts = append(parts, strconv.FormatFloat(m.Share*100, 'g', -1, 64)+"%")
	}
	if days := m.Time / (24 * time.Hour); m.Time != 0 && m.Time%(24*time.Hour) == 0 {
		parts = append(parts, fmt.Sprintf("%dd", days))
	} else if m.Time != 0 {
		parts = append(parts, m.Time.String())
	}
	return strings.Join(parts, ",")
}

// DefaultMonitor is what holds where nothing is said.
func DefaultMonitor() Monitor {
	const day = 24 * time.Hour
	return Monitor{Warn: Margin{Share: 0.25, Time: 21 * day}, Crit: Margin{Share: 0.10, Time: 7 * day}}
}

func (d *document) monitor(dst *Monitor) decoder {
	return d.section(keys{
		"files": d.list(&dst.Files, func(s string) (string, error) { return s, nil }),
		"warn":  into(d, &dst.Warn, ParseMargin),
		"crit":  into(d, &dst.Crit, ParseMargin),
	})
}

func (d *document) metrics(dst *Metrics) decoder {
	return d.section(keys{"listen": d.text(&dst.Listen), "textfile": d.text(&dst.Textfile)})
}

func validateMonitor(m Monitor, d *document) {
	for i, path := range m.Files {
		field := fmt.Sprintf("monitor.files[%d]", i)
		absolute(d, field, path)
		if j := slices.Index(m.Files, path); j < i {
			d.fault(field, "%s is already monitor.files[%d]; keep one of them", quote(path), j)
		}
	}
	for _, f := range []struct {
		field  string
		margin Margin
	}{{"monitor.warn", m.Warn}, {"monitor.crit", m.Crit}} {
		if f.margin.Share < 0 || f.margin.Share >= 1 || f.margin.Time < 0 || f.margin == (Margin{}) {
			d.fault(f.field, `%s says no time before the end; write it like "25%%,21d"`, quote(f.margin.String()))
		}
	}
	if m.Crit.Share > m.Warn.Share && m.Warn.Share > 0 || m.Crit.Time > m.Warn.Time && m.Warn.Time > 0 {
		d.fault("monitor.crit", "%s begins before warn, which is %s; write less", quote(m.Crit.String()), m.Warn)
	}
}

func validateMetrics(m Metrics, d *document) {
	if m.Listen != "" || d.has("metrics.listen") {
		address := m.Listen
		if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
			address = net.JoinHostPort("0.0.0.0", port) // all addresses
		}
		if _, fault := splitAddress(address, `write it like 127.0.0.1:9742, or ":9742" for all addresses`); fault != "" {
			d.fault("metrics.listen", "%s %s", quote(m.Listen), fault)
		}
	}
	if m.Textfile != "" || d.has("metrics.textfile") {
		absolute(d, "metrics.textfile", m.Textfile)
		if filepath.Ext(m.Textfile) != ".prom" {
			d.fault("metrics.textfile", "%s does not end in .prom, and node_exporter reads no other; write it like /var/lib/prometheus/node-exporter/redis-cert-agent.prom", quote(m.Textfile))
		}
	}
}
