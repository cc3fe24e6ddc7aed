package reload

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// settled is how long a link must have been down before it tells more than that a server
// has just started, or tries again.
const settled = time.Minute

// Links says whether the TLS connections of a server to others of its kind are up: a
// certificate that clients accept may be refused there, and nobody who only looks at the
// server would see it.
type Links struct {
	Down    string // what is down, for people; empty where all are up, or there are none
	Unclear bool   // something is down that may be up in a minute
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
		all.Unclear = all.Unclear || one.Unclear
		if one.Down != "" {
			all.Down = strings.TrimPrefix(all.Down+"; "+one.Down, "; ")
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
	if info["master_link_status"] != "down" || info["master_sync_in_progress"] == "1" {
		return Links{}
	}
	up := seconds(server["uptime_in_seconds"])
	down, since := seconds(info["master_link_down_since_seconds"]), "since its start"
	if down >= 0 && down < up {
		since = fmt.Sprintf("for %s", down)
	} else {
		down = up
	}
	if down < settled {
		return Links{Unclear: true}
	}
	return Links{Down: fmt.Sprintf("its link to its master %s:%s is down %s: see its log, which says whether one of them refuses the other's certificate",
		info["master_host"], info["master_port"], since)}
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
	if info["cluster_state"] != "fail" || info["cluster_known_nodes"] == "1" {
		return Links{}
	}
	return Links{Down: "the cluster is down as it sees it (cluster_state:fail): see its log, which says whether nodes refuse each other's certificates"}
}
