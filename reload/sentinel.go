package reload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lately is how long ago a Sentinel may have answered another that is to count on it: they
// ask each other every second.
const lately = 5 * time.Second

// maxMasters bounds the masters of one Sentinel that are asked about.
const maxMasters = 64

// A Group is what a Sentinel knows of those that watch the same masters.
type Group struct {
	PID     int // of its process
	Masters []Watched
}

// Watched is one master, as a Sentinel sees it.
type Watched struct {
	Name   string
	Quorum int      // how many Sentinels must agree that the master is down
	Known  int      // Sentinels that watch it, this one included
	Absent []string // addresses of those that do not answer now
	Fault  string   // why no failover could be made now (SENTINEL CKQUORUM); empty: one could
}

// NotSpared says why the Sentinel cannot be spared for a moment: a failover would not find
// its quorum, or another one is away, which somebody may be restarting as well. With urgent
// that does not count, as long as there are enough. It is empty when it can be spared.
func (g Group) NotSpared(urgent bool) string {
	for _, m := range g.Masters {
		left, majority := m.Known-len(m.Absent)-1, m.Known/2+1
		switch {
		case m.Fault != "":
			return fmt.Sprintf("master %s: %s", m.Name, m.Fault)
		case left < max(m.Quorum, majority):
			return fmt.Sprintf("master %s: %d of %d Sentinels would be left, and a failover needs %d", m.Name, left, m.Known, max(m.Quorum, majority))
		case len(m.Absent) > 0 && !urgent:
			return fmt.Sprintf("master %s: %s does not answer: one Sentinel of a group at a time, and SENTINEL RESET forgets one that is gone for good",
				m.Name, strings.Join(m.Absent, ", "))
		}
	}
	return ""
}

// Group asks a Sentinel about those that watch the same masters.
func (r *Redis) Group(ctx context.Context, t Trust) (Group, error) {
	var g Group
	err := r.with(ctx, t, func(s *session) (err error) {
		s.replies.depth = 2
		g, err = s.group(ctx)
		return err
	})
	if err != nil {
		return Group{}, fmt.Errorf("the group of %s: %w", r.server.Address, err)
	}
	return g, nil
}

func (s *session) group(ctx context.Context) (Group, error) {
	answers, err := s.ask(ctx, askVersion, question{"info sentinel", []any{"INFO", "sentinel"}})
	if err != nil {
		return Group{}, err
	}
	if err := errors.Join(answers[0].err, answers[1].err); err != nil {
		return Group{}, err
	}
	var g Group
	g.PID, _ = strconv.Atoi(fields(answers[0].reply)["process_id"])
	for name, value := range fields(answers[1].reply) {
		if !strings.HasPrefix(name, "master") || !strings.HasPrefix(value, "name=") {
			continue
		}
		if len(g.Masters) == maxMasters {
			return Group{}, fmt.Errorf("it watches more than %d masters", maxMasters)
		}
		named, _, _ := strings.Cut(strings.TrimPrefix(value, "name="), ",")
		m, err := s.watched(ctx, named)
		if err != nil {
			return Group{}, err
		}
		g.Masters = append(g.Masters, m)
	}
	slices.SortFunc(g.Masters, func(a, b Watched) int { return strings.Compare(a.Name, b.Name) })
	return g, nil
}

func (s *session) watched(ctx context.Context, name string) (Watched, error) {
	m := Watched{Name: name}
	answers, err := s.ask(ctx,
		question{"sentinel ckquorum", []any{"SENTINEL", "CKQUORUM", name}},
		question{"sentinel master", []any{"SENTINEL", "MASTER", name}},
		question{"sentinel sentinels", []any{"SENTINEL", "SENTINELS", name}})
	if err != nil {
		return m, err
	}
	if err := answers[0].err; err != nil {
		m.Fault = oneLine(err.Error())
	}
	if err := errors.Join(answers[1].err, answers[2].err); err != nil {
		return m, err
	}
	var ok bool
	if m.Quorum, err = strconv.Atoi(pairs(answers[1].reply)["quorum"]); err != nil {
		return m, newFault(ErrRefused, nil, "sentinel master %s: there is no quorum in the answer", name)
	}
	others, ok := answers[2].reply.([]any)
	if !ok {
		return m, newFault(ErrRefused, nil, "sentinel sentinels %s: the answer is no list", name)
	}
	m.Known = len(others) + 1
	for _, other := range others {
		if about := pairs(other); !answering(about) {
			m.Absent = append(m.Absent, oneLine(about["ip"]+":"+about["port"]))
		}
	}
	return m, nil
}

// answering says whether another Sentinel answers now.
func answering(about map[string]string) bool {
	for _, flag := range strings.Split(about["flags"], ",") {
		if flag == "s_down" || flag == "o_down" || flag == "disconnected" {
			return false
		}
	}
	ago, err := strconv.ParseInt(about["last-ok-ping-reply"], 10, 64)
	return err == nil && time.Duration(ago)*time.Millisecond < lately
}

// pairs reads a list of names and values, one after the other.
func pairs(reply any) map[string]string {
	found := map[string]string{}
	list, _ := reply.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		name, _ := list[i].(string)
		value, _ := list[i+1].(string)
		found[name] = value
	}
	return found
}
