package reload

import (
	"context"
	"fmt"
	"strings"
)

// Described is what a server says of itself when it is asked.
type Described struct {
	Version string            // redis_version; empty where INFO is denied
	Mode    string            // standalone, cluster or sentinel; empty where INFO is denied
	Values  map[string]string // of the parameters that were asked for; empty: not set, or not known to this version
}

// Sentinel says whether the server is one. A Sentinel has no CONFIG.
func (d Described) Sentinel() bool { return d.Mode == "sentinel" }

// Describe asks a server what it is, and for parameters, each by a CONFIG GET of its
// own. The errors are those of Reload; a Sentinel is described without parameters.
func (r *Redis) Describe(ctx context.Context, t Trust, parameters ...string) (Described, error) {
	d := Described{Values: map[string]string{}}
	err := r.with(ctx, t, func(s *session) error {
		questions := []question{askVersion}
		for _, p := range parameters {
			questions = append(questions, s.get(p))
		}
		answers, err := s.ask(ctx, questions...)
		if err != nil {
			return err
		}
		if text, ok := answers[0].reply.(string); ok {
			d.Mode, d.Version = mode(text), redisVersion(text)
		}
		if d.Sentinel() {
			return nil
		}
		for i, p := range parameters {
			if d.Values[p], err = s.value(answers[1+i], p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Described{}, fmt.Errorf("ask %s: %w", r.server.Address, err)
	}
	return d, nil
}

// mode finds what kind of server it is in what INFO server says: Redis calls it
// redis_mode, Valkey server_mode as well or instead.
func mode(info string) string {
	for line := range strings.Lines(info) {
		for _, name := range []string{"redis_mode:", "server_mode:"} {
			if value, ok := strings.CutPrefix(line, name); ok {
				return oneLine(strings.TrimSpace(value))
			}
		}
	}
	return ""
}
