package reload

import (
	"strings"
	"testing"
)

// What INFO and CLUSTER INFO of Redis 6 to 8 say of links, and what that means.
func TestLinksAreJudged(t *testing.T) {
	const there = "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n"
	for said, want := range map[string]string{
		"role:master\r\n":                   "",
		there + "master_link_status:up\r\n": "",
		there + "master_link_status:down\r\nmaster_sync_in_progress:1\r\nmaster_link_down_since_seconds:900\r\n": "",
		there + "master_link_status:down\r\nmaster_sync_in_progress:0\r\nmaster_link_down_since_seconds:59\r\n":  "unclear",
		there + "master_link_status:down\r\nmaster_sync_in_progress:0\r\nmaster_link_down_since_seconds:60\r\n":  "its link to its master 10.0.0.1:6379 is down for 1m0s: ",
		there + "master_link_status:down\r\nmaster_link_down_since_seconds:-1\r\n":                               "is down since its start: ",
		there + "master_link_status:down\r\nmaster_link_down_since_seconds:2147483647\r\n":                       "is down since its start: ",
		there + "master_link_status:down\r\n":                                                                    "is down since its start: ",
		"":                                                                                                       "",
	} {
		got := masterLink(fields(said), map[string]string{"uptime_in_seconds": "100"})
		if got.Unclear != (want == "unclear") || !got.Unclear && (got.Down == "") != (want == "") || !got.Unclear && !strings.Contains(got.Down, want) {
			t.Errorf("%q: %+v, want %q", said, got, want)
		}
	}
	for uptime, unclear := range map[string]bool{"0": true, "59": true, "60": false} {
		if got := masterLink(fields("master_link_status:down\r\nmaster_link_down_since_seconds:-1"), map[string]string{"uptime_in_seconds": uptime}); got.Unclear != unclear {
			t.Errorf("up for %s s: %+v", uptime, got)
		}
	}
	for said, down := range map[string]bool{
		"cluster_state:ok\r\ncluster_known_nodes:6\r\n": false, "cluster_state:fail\r\ncluster_known_nodes:6\r\n": true,
		"cluster_state:fail\r\ncluster_known_nodes:1\r\n": false, "": false,
	} {
		if got := clusterLink(fields(said)); (got.Down != "") != down {
			t.Errorf("%q: %+v", said, got)
		}
	}
}
