package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The sizes of the picture, in pixels of an unscaled view.
const (
	pageWidth = 1200.0
	margin    = 14.0
	gap       = 8.0
	column    = (pageWidth - 2*margin + gap) / 24
	row       = 34.0
	header    = 46.0
	caption   = 19.0 // a line of it
)

// A box is where a panel is drawn.
type box struct{ x, y, w, h float64 }

// draw asks the questions of the dashboard and returns the picture.
func draw(ctx context.Context, d dashboard, r recording) ([]byte, error) {
	rows := 0
	for _, p := range d.Panels {
		rows = max(rows, p.GridPos.Y+p.GridPos.H)
	}
	bottom := header + float64(rows)*row
	about := r.about()

	var c canvas
	c.begin(pageWidth, bottom+gap+float64(len(about))*caption+gap, "The dashboard of redis-cert-agent", strings.Join(about, " "))
	c.text(margin+2, 30, "", "b text", d.Title)
	c.text(pageWidth-margin-2, 30, "end", "dim", fmt.Sprintf("last %s", spell(r.to.Sub(r.from))))
	for _, p := range d.Panels {
		at := box{margin + float64(p.GridPos.X)*column, header + float64(p.GridPos.Y)*row,
			float64(p.GridPos.W)*column - gap, float64(p.GridPos.H)*row - gap}
		c.rect(at.x-0.5, at.y-0.5, at.w+1, at.h+1, 4, "edge")
		c.rect(at.x+0.5, at.y+0.5, at.w-1, at.h-1, 3, "card")
		c.text(at.x+11, at.y+20, "", "b text", fit(p.Title, at.w-20))
		inner := box{at.x + 11, at.y + 30, at.w - 22, at.h - 40}
		if err := c.panel(ctx, p, r, inner); err != nil {
			return nil, fmt.Errorf("panel %s: %w", p.Title, err)
		}
	}
	for i, line := range about {
		c.text(margin+2, bottom+gap+float64(i)*caption+10, "", "s dim", line)
	}
	c.end()
	return []byte(c.String()), nil
}

// about says what the picture shows.
func (r recording) about() []string {
	lines := []string{fmt.Sprintf("Plotted by make dashboard, not by Grafana: the panels of packaging/grafana/redis-cert-agent.json with what a Prometheus answered to their queries, %s to %s UTC.",
		r.from.UTC().Format(time.DateTime), r.to.UTC().Format(time.TimeOnly))}
	var done []string
	for i, e := range r.events {
		done = append(done, fmt.Sprintf("%d %s", i+1, e.text))
	}
	if done != nil {
		lines = append(lines, r.scene+" Shaded: "+strings.Join(done, "; ")+".")
	}
	return lines
}

// bands shades the time of each event in a plot.
func (c *canvas) bands(g plot, r recording, numbered bool) {
	for i, e := range r.events {
		x, to := g.px(float64(e.from.UnixMilli())/1000), g.px(float64(e.to.UnixMilli())/1000)
		c.put(`<rect x="%s" y="%s" width="%s" height="%s" class="dim" opacity=".13"/>`, px(x), px(g.y), px(to-x), px(g.h))
		if numbered {
			c.text((x+to)/2, g.y+16, "middle", "b dim", fmt.Sprint(i+1))
		}
	}
}

func (c *canvas) panel(ctx context.Context, p panel, r recording, at box) error {
	switch p.Type {
	case "stat":
		return c.stat(ctx, p, r, at)
	case "timeseries":
		return c.graph(ctx, p, r, at)
	case "state-timeline":
		return c.timeline(ctx, p, r, at)
	case "table":
		return c.table(ctx, p, r, at)
	}
	return fmt.Errorf("the type %s is not drawn", p.Type)
}

// A named series is one with its legend.
type named struct {
	name string
	series
}

// ask asks the questions of a panel over the whole time, and returns the answers
// by their names.
func (p panel) ask(ctx context.Context, r recording, at box) ([]named, time.Duration, error) {
	points := p.MaxDataPoints
	if points == 0 {
		points = int(at.w) / 2
	}
	step := max(r.scrape, (r.to.Sub(r.from) / time.Duration(points)).Round(time.Second))
	var all []named
	for _, t := range p.Targets {
		answers, err := prometheus{r.url}.between(ctx, chosen(t.Expr, r, step), r.from, r.to, step)
		if err != nil {
			return nil, 0, err
		}
		for _, s := range answers {
			all = append(all, named{legend(t.LegendFormat, s.labels), s})
		}
	}
	slices.SortStableFunc(all, func(a, b named) int { return strings.Compare(a.name, b.name) })
	return all, step, nil
}

// chosen fills in the variables: everything, and the intervals that Grafana
// would choose.
func chosen(expr string, r recording, step time.Duration) string {
	rate := max(step+r.scrape, 4*r.scrape)
	return strings.NewReplacer("$instance", ".*", "$agent", ".*", "$__rate_interval", fmt.Sprintf("%dms", rate.Milliseconds())).Replace(expr)
}

func (c *canvas) stat(ctx context.Context, p panel, r recording, at box) error {
	answers, err := prometheus{r.url}.instant(ctx, chosen(p.Targets[0].Expr, r, r.scrape), r.to)
	if err != nil {
		return err
	}
	if len(answers) > 1 {
		return fmt.Errorf("%d answers to a question that has one are not drawn", len(answers))
	}
	text, color := "No data", "dim"
	if len(answers) > 0 {
		f, v := p.FieldConfig.Defaults, answers[0].points[0].value
		text, color = f.text(v), f.color(v)
		if _, mapped, ok := f.mapped(v); ok {
			color = mapped
		}
	}
	size := min(34, 34*at.w/(width(text)*34/fontSize+1))
	c.big(at.x+at.w/2, at.y+at.h/2+size*0.36-2, size, class(color), text)
	return nil
}

// spell tells a time in words.
func spell(d time.Duration) string {
	d = d.Round(time.Minute)
	if d < 2*time.Hour {
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return fmt.Sprintf("%d hours", int(d.Round(time.Hour).Hours()))
}
