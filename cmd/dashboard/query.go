package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A series is one answer to a query.
type series struct {
	labels map[string]string
	points []point
}

type point struct {
	at    float64 // Unix time
	value float64
}

// prometheus asks one over its HTTP API.
type prometheus struct{ url string }

// instant returns the answers at one time, in Prometheus' order.
func (p prometheus) instant(ctx context.Context, expr string, at time.Time) ([]series, error) {
	return p.ask(ctx, "query", url.Values{"query": {expr}, "time": {unix(at)}})
}

func (p prometheus) between(ctx context.Context, expr string, from, to time.Time, step time.Duration) ([]series, error) {
	return p.ask(ctx, "query_range", url.Values{"query": {expr}, "start": {unix(from)}, "end": {unix(to)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}})
}

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

func (p prometheus) ask(ctx context.Context, what string, values url.Values) ([]series, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/api/v1/"+what, strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	all, err := parseAnswer(text)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", values.Get("query"), err)
	}
	return all, nil
}

// parseAnswer reads a vector or a matrix.
func parseAnswer(text []byte) ([]series, error) {
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Value  *sample
				Values []sample
			}
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("%s", answer.Error)
	}
	var all []series
	for _, r := range answer.Data.Result {
		if r.Value != nil {
			r.Values = []sample{*r.Value}
		}
		s := series{labels: r.Metric}
		for _, v := range r.Values {
			s.points = append(s.points, point(v))
		}
		all = append(all, s)
	}
	return all, nil
}

// A sample is a pair of a number and a string in Prometheus' JSON.
type sample point

func (s *sample) UnmarshalJSON(text []byte) error {
	var pair [2]json.RawMessage
	var value string
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &s.at); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[1], &value); err != nil {
		return err
	}
	var err error
	s.value, err = strconv.ParseFloat(value, 64)
	return err
}
