package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
)

// A plot is the area of a graph between its axes.
type plot struct {
	box
	from, to time.Time
	low, top float64
}

func (p plot) px(at float64) float64 {
	from := float64(p.from.UnixMilli()) / 1000
	return p.x + (at-from)/p.to.Sub(p.from).Seconds()*p.w
}

func (p plot) py(v float64) float64 {
	v = math.Min(math.Max(v, p.low), p.top)
	return p.y + p.h - (v-p.low)/(p.top-p.low)*p.h
}

// graph draws lines, bars or points over time.
func (c *canvas) graph(ctx context.Context, p panel, r recording, at box) error {
	all, step, err := p.ask(ctx, r, at)
	if err != nil {
		return err
	}
	f := p.FieldConfig.Defaults
	lines := c.legends(p, all, at)
	g := plot{box: box{at.x + 46, at.y + 4, at.w - 50, at.h - 20 - lines}, from: r.from, to: r.to}
	g.low, g.top = bounds(f, all)
	c.grid(g, f)
	c.bands(g, r, f.Custom.ThresholdsStyle.Mode != "off")
	c.thresholds(g, f)
	base := map[float64]float64{} // what bars already reach
	for i, s := range all {
		color, err := p.color(i, s.name)
		if err != nil {
			return err
		}
		switch f.Custom.DrawStyle {
		case "line":
			if f.Custom.FillOpacity > 0 {
				c.area(g, s, step, color, base)
			} else {
				c.curve(g, s, step, color)
			}
		case "bars":
			c.bars(g, s, step, color, base)
		case "points":
			c.points(g, s, color)
		default:
			return fmt.Errorf("the style %s is not drawn", f.Custom.DrawStyle)
		}
	}
	return nil
}

// thresholds draws a line where a colour ends, in the colour below it.
func (c *canvas) thresholds(g plot, f field) {
	if f.Custom.ThresholdsStyle.Mode != "dashed" {
		return
	}
	for i, s := range f.Thresholds.Steps {
		if i > 0 && s.Value != nil {
			y := g.py(*s.Value)
			c.line(g.x, y, g.x+g.w, y, class(f.Thresholds.Steps[i-1].Color), ` stroke-dasharray="5 4" opacity=".8"`)
		}
	}
}

// color returns the colour of the i-th series.
func (p panel) color(i int, name string) (string, error) {
	f, err := p.FieldConfig.override(name)
	if err != nil {
		return "", err
	}
	if f.Color.Mode == "fixed" {
		return class(f.Color.FixedColor), nil
	}
	return fmt.Sprintf("p%d", i%palette), nil
}

// legends writes the names of the series below the graph, each once, and returns
// how much room they take.
func (c *canvas) legends(p panel, all []named, at box) float64 {
	var rows [][]int
	left := 0.0
	for i, s := range all {
		w := width(s.name) + 30
		if len(rows) == 0 || left+w > at.w {
			rows, left = append(rows, nil), 0
		}
		rows[len(rows)-1] = append(rows[len(rows)-1], i)
		left += w
	}
	for n, row := range rows {
		x, y := at.x+2, at.y+at.h-float64(len(rows)-1-n)*18
		for _, i := range row {
			color, _ := p.color(i, all[i].name)
			c.rect(x, y-6, 14, 4, 2, color)
			c.text(x+19, y, "", "s text", all[i].name)
			x += width(all[i].name) + 30
		}
	}
	return float64(len(rows)) * 18
}

// bounds returns what the y axis reaches from and to.
func bounds(f field, all []named) (low, top float64) {
	sums := map[float64]float64{}
	for _, s := range all {
		for _, p := range s.points {
			if f.Custom.Stacking.Mode == "normal" {
				sums[p.at] += p.value
				top = max(top, sums[p.at])
			} else if !math.IsNaN(p.value) {
				top = max(top, p.value)
			}
		}
	}
	if f.Max != nil {
		return 0, *f.Max
	}
	if top == 0 {
		return 0, 1
	}
	return 0, top * 1.1
}

// grid draws the axes.
func (c *canvas) grid(g plot, f field) {
	step := nice(g.top-g.low, g.h/40)
	if f.Unit == "short" {
		step = max(step, 1)
	}
	for v := g.low; v <= g.top+step/1000; v += step {
		c.line(g.x, g.py(v), g.x+g.w, g.py(v), "grid", ` style="stroke-width:1"`)
		c.text(g.x-6, g.py(v)+4, "end", "s dim", strings.Replace(f.text(v), ".0 ", " ", 1))
	}
	c.times(g)
}

// times writes the time below a plot.
func (c *canvas) times(g plot) {
	span := g.to.Sub(g.from)
	var every time.Duration
	for _, every = range []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 12 * time.Hour, 24 * time.Hour} {
		if g.w/(float64(span)/float64(every)) >= 40 {
			break
		}
	}
	for t := g.from.Truncate(every).Add(every); !t.After(g.to); t = t.Add(every) {
		x := g.px(float64(t.Unix()))
		if x < g.x+16 || x > g.x+g.w-16 {
			continue
		}
		c.line(x, g.y, x, g.y+g.h, "grid", ` style="stroke-width:1"`)
		c.text(x, g.y+g.h+14, "middle", "s dim", t.UTC().Format("15:04"))
	}
}

// nice returns a round step, so that about n of them make the span.
func nice(span, n float64) float64 {
	size := math.Pow(10, math.Floor(math.Log10(span/n)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if span/(m*size) <= n {
			return m * size
		}
	}
	return 10 * size
}

// curve draws a line. It has gaps where there are no points, and no points where
// a straight line goes through them.
func (c *canvas) curve(g plot, s named, step time.Duration, color string) {
	var d strings.Builder
	var run []point
	flush := func() {
		move := "M"
		for _, p := range straight(g, run) {
			fmt.Fprintf(&d, "%s%s %s", move, px(g.px(p.at)), px(g.py(p.value)))
			move = "L"
		}
		run = run[:0]
	}
	for _, p := range s.points {
		if len(run) > 0 && p.at-run[len(run)-1].at > 1.5*step.Seconds() {
			flush()
		}
		run = append(run, p)
	}
	flush()
	c.put(`<path d="%s" class="l %s"/>`, d.String(), color)
}

// straight leaves out what lies on the line between its neighbours.
func straight(g plot, run []point) []point {
	if len(run) < 3 {
		return run
	}
	kept := []point{run[0]}
	for i := 1; i < len(run)-1; i++ {
		a, b, p := kept[len(kept)-1], run[i+1], run[i]
		onLine := g.py(a.value) + (g.py(b.value)-g.py(a.value))*(p.at-a.at)/(b.at-a.at)
		if math.Abs(onLine-g.py(p.value)) > 0.3 {
			kept = append(kept, p)
		}
	}
	return append(kept, run[len(run)-1])
}

// area draws a stepped area on top of those before.
func (c *canvas) area(g plot, s named, step time.Duration, color string, base map[float64]float64) {
	for i := 0; i < len(s.points); {
		p := s.points[i]
		end := i + 1
		for end < len(s.points) && s.points[end].value == p.value && base[s.points[end].at] == base[p.at] {
			end++
		}
		if x, to := g.px(p.at), g.px(s.points[end-1].at+step.Seconds()); p.value > 0 {
			y := g.py(base[p.at] + p.value)
			c.put(`<rect x="%s" y="%s" width="%s" height="%s" class="%s" opacity=".55"/>`, px(x), px(y), px(min(to, g.x+g.w)-x), px(g.py(base[p.at])-y), color)
			c.line(x, y, min(to, g.x+g.w), y, color, "")
		}
		i = end
	}
	for _, p := range s.points {
		base[p.at] += p.value
	}
}

func (c *canvas) bars(g plot, s named, step time.Duration, color string, base map[float64]float64) {
	w := max(2, step.Seconds()/g.to.Sub(g.from).Seconds()*g.w-1.5)
	for _, p := range s.points {
		y := g.py(base[p.at] + p.value)
		c.rect(min(max(g.px(p.at)-w/2, g.x), g.x+g.w-w), y, w, g.py(base[p.at])-y, 1, color)
		base[p.at] += p.value
	}
}

func (c *canvas) points(g plot, s named, color string) {
	for _, p := range s.points {
		if !math.IsNaN(p.value) {
			c.put(`<circle cx="%s" cy="%s" r="3" class="%s"/>`, px(g.px(p.at)), px(g.py(p.value)), color)
		}
	}
}
