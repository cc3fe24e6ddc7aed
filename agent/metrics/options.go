package metrics

import (
	"path/filepath"

	"redis-cert-agent/agent/option"
)

// Outlets say where the metrics are to be had beside the control socket.
type Outlets struct {
	Listen   string // host:port, or empty: nowhere
	Textfile string // absolute path that ends in .prom, or empty: nowhere
}

// Faults tells what cannot work. Fields have the names of the configuration.
func (o Outlets) Faults(r option.Report) {
	if o.Listen != "" || r.Given("listen") {
		option.Listen(r, "listen", o.Listen, `write it like 127.0.0.1:9742, or ":9742" for all addresses`)
	}
	if o.Textfile != "" || r.Given("textfile") {
		option.Absolute(r, "textfile", o.Textfile)
		if filepath.Ext(o.Textfile) != ".prom" {
			r.Fault("textfile", "%s does not end in .prom, and node_exporter reads no other; write it like /var/lib/prometheus/node-exporter/redis-cert-agent.prom", option.Quote(o.Textfile))
		}
	}
}
