package daemon

import (
	"testing"
	"time"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/metrics"
	"redis-cert-agent/agent/notify"
)

// Metrics that are read elsewhere than on the control socket are fresh, and so is what
// people are told.
func TestLookEvery(t *testing.T) {
	heartbeat := func(every time.Duration) *notify.Heartbeat { return &notify.Heartbeat{Every: every} }
	listen, textfile := metrics.Outlets{Listen: ":9742"}, metrics.Outlets{Textfile: "/x.prom"}
	for _, c := range []struct {
		config config.Config
		want   time.Duration
	}{
		{config.Config{}, 0},
		{config.Config{Heartbeat: heartbeat(time.Hour)}, time.Hour},
		{config.Config{Metrics: listen}, 5 * time.Minute},
		{config.Config{Notify: make([]notify.Target, 1)}, 5 * time.Minute},
		{config.Config{Metrics: textfile}, 5 * time.Minute},
		{config.Config{Metrics: listen, Heartbeat: heartbeat(time.Hour)}, 5 * time.Minute},
		{config.Config{Metrics: textfile, Heartbeat: heartbeat(time.Minute)}, time.Minute},
	} {
		if got := lookEvery(&c.config); got != c.want {
			t.Errorf("%+v: %s, want %s", c.config, got, c.want)
		}
	}
}
