package reload

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Links says whether the TLS connections of a server to others of its kind are up: a
// certificate that clients accept may be refused there, and nobody who only looks at the
// server would see it.
type Links struct {
	Any  bool          // there are such connections, or are to be
	Down string        // what is down, for people; empty where all are up
	For  time.Duration // for how long at least; a server that has just started, or is tried again, is soon up
}

// links asks about the links that use TLS. That a user may not ask is no fault: CLUSTER
// INFO is not among what the agent needs. Server is what INFO says of the server.
func (s *session) links(ctx context.Context, value, server map[string]string) (Links, error) {
	var questions []question
	if value["tls-replication"] == "yes" {
		questions = append(questions, question{"info replication", []any{"INFO", "replication"}})
	}
	if value["tls-cluster"] == "yes" && value["cluster-enabled"] == "yes" {
		questions = append(questions, question{"cluster info", []any{"CLUSTER", "INFO"}})
	}
	if len(questions) == 0 {
		return Links{}, nil
	}
	answers, err := s.ask(ctx, questions...)
	if err != nil {
		return Links{}, err
	}
	var all Links
	for i, a := range answers {
		one := masterLink(fields(a.reply), server)
		if questions[i].name == "cluster info" {
			one = clusterLink(fields(a.reply))
		}
		all.Any = all.Any || one.Any
		if one.Down != "" {
			all.Down, all.For = strings.TrimPrefix(all.Down+" and "+one.Down, " and "), max(all.For, one.For)
		}
	}
	return all, nil
}

// fields reads the lines "name:value" of INFO and CLUSTER INFO.
func fields(reply any) map[string]string {
	text, _ := reply.(string)
	found := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			found[name] = oneLine(value)
		}
	}
	return found
}

// masterLink judges what INFO replication says of the link to a master. One that was never
// up is down for -1 seconds, or 0x7fffffff.
func masterLink(info, server map[string]string) Links {
	there := Links{Any: info["master_host"] != ""}
	if info["master_link_status"] != "down" || info["master_sync_in_progress"] == "1" {
		return there
	}
	up, down := seconds(server["uptime_in_seconds"]), seconds(info["master_link_down_since_seconds"])
	if down < 0 || down > up {
		down = up
	}
	return Links{Any: true, For: down, Down: fmt.Sprintf("its link to its master %s:%s", info["master_host"], info["master_port"])}
}

func seconds(text string) time.Duration {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return -time.Second
	}
	return time.Duration(n) * time.Second
}

// clusterLink judges what CLUSTER INFO says. A cluster that was never made has no other
// nodes, and nothing to be refused.
func clusterLink(info map[string]string) Links {
	there := Links{Any: info["cluster_state"] != "" && info["cluster_known_nodes"] != "1"}
	if there.Any && info["cluster_state"] == "fail" {
		there.Down = "the cluster as it sees it (cluster_state:fail)"
	}
	return there
}
