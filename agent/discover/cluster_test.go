package discover

import (
	"slices"
	"testing"
)

// What a node keeps of the others, as Redis 6.0, 7.0 and 8, and Valkey 9 write it.
func TestNodesIn(t *testing.T) {
	const tail = " 0 1700000000000 2 connected 5461-10922\n"
	for name, tt := range map[string]struct {
		text string
		want []Node
	}{
		"6.0": {"a 127.0.0.1:7000@17000 myself,slave b" + tail + "b 10.0.0.2:7001@17001 master -" + tail + "vars currentEpoch 6 lastVoteEpoch 0\n",
			[]Node{{"10.0.0.2:7001", "10.0.0.2:17001", true}}},
		"7.0, with a hostname": {"b 10.0.0.2:7001@17001,redis2.internal master -" + tail, []Node{{"10.0.0.2:7001", "10.0.0.2:17001", false}}},
		"7.2, with both ports": {"b 10.0.0.2:7001@17001,,tls-port=7101,shard-id=5f3c master -" + tail, []Node{{"10.0.0.2:7101", "10.0.0.2:17001", false}}},
		"IPv6":                 {"b fd00::2:7001@17001 master -" + tail, []Node{{"[fd00::2]:7001", "[fd00::2]:17001", false}}},
		"away": {"b 10.0.0.2:7001@17001 master,fail -" + tail + "c :0@0 master,noaddr -" + tail + "d 10.0.0.4:7001@17001 handshake -" + tail +
			"e 10.0.0.5:7001@17001 master,fail? -" + tail, []Node{{"10.0.0.5:7001", "10.0.0.5:17001", false}}},
		"nonsense": {"\x00\xff\n: : : : : : : :\na @ x y z 0 1 2\nb 10.0.0.2@1 m - 0 0 0 c\nb 1:2@99999 m - 0 0 0 c\n", nil},
	} {
		if got := nodesIn(tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestBusAddress(t *testing.T) {
	for _, tt := range []struct {
		s    Settings
		want string
	}{
		{Settings{Port: 6379, TLSPort: 6380, Cluster: true, TLSCluster: true}, "127.0.0.1:16380"},
		{Settings{Port: 6379, TLSPort: 6380, Cluster: true}, "127.0.0.1:16379"},
		{Settings{TLSPort: 6380, Cluster: true, TLSCluster: true, ClusterPort: 9000, Bind: []string{"10.0.0.1"}}, "10.0.0.1:9000"},
		{Settings{Port: 6379, TLSPort: 6380}, ""},
	} {
		if got := tt.s.BusAddress(); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.s, got, tt.want)
		}
	}
}
