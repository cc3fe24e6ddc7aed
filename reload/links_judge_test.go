package reload

import (
	"testing"
	"time"
)

// What INFO and CLUSTER INFO of Redis 6 to 8 say of links, and what that means.
func TestLinksAreJudged(t *testing.T) {
	const there = "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\n"
	const down = there + "master_link_status:down\r\n"
	up := Links{Any: true}
	since := func(d time.Duration) Links {
		return Links{Any: true, Down: "its link to its master 10.0.0.1:6379", For: d}
	}
	for said, want := range map[string]Links{
		"":                                  {},
		"role:master\r\n":                   {},
		there + "master_link_status:up\r\n": up,
		down + "master_sync_in_progress:1\r\nmaster_link_down_since_seconds:900\r\n": up,
		down + "master_sync_in_progress:0\r\nmaster_link_down_since_seconds:59\r\n":  since(59 * time.Second),
		down + "master_link_down_since_seconds:-1\r\n":                               since(100 * time.Second),
		down + "master_link_down_since_seconds:2147483647\r\n":                       since(100 * time.Second),
		down: since(100 * time.Second),
	} {
		if got := masterLink(fields(said), map[string]string{"uptime_in_seconds": "100"}); got != want {
			t.Errorf("%q: %+v, want %+v", said, got, want)
		}
	}
	failed := Links{Any: true, Down: "the cluster as it sees it (cluster_state:fail)"}
	for said, want := range map[string]Links{
		"": {}, "cluster_state:fail\r\ncluster_known_nodes:1\r\n": {}, "cluster_state:ok\r\ncluster_known_nodes:1\r\n": {},
		"cluster_state:ok\r\ncluster_known_nodes:6\r\n": up, "cluster_state:fail\r\ncluster_known_nodes:6\r\n": failed,
	} {
		if got := clusterLink(fields(said)); got != want {
			t.Errorf("%q: %+v, want %+v", said, got, want)
		}
	}
}
