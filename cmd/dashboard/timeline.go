package main

import (
	"context"
	"time"
)

// timeline draws a row for each series, in the colours of its states.
func (c *canvas) timeline(ctx context.Context, p panel, r recording, at box) error {
	all, step, err := p.ask(ctx, r, at)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		c.text(at.x+at.w/2, at.y+at.h/2, "middle", "dim", "No data")
		return nil
	}
	names := 0.0
	for _, s := range all {
		names = max(names, width(s.name))
	}
	names = min(names, at.w*0.45)
	g := plot{box: box{at.x + names + 8, at.y, at.w - names - 8, at.h - 16}, from: r.from, to: r.to}
	c.times(g)
	c.bands(g, r, false)
	height := min(34, g.h/float64(len(all)))
	for i, s := range all {
		y := g.y + (g.h-height*float64(len(all)))/2 + float64(i)*height
		c.text(g.x-8, y+height/2+4, "end", "s text", fit(s.name, names+4))
		c.states(g, s, step, p.FieldConfig.Defaults, box{y: y + height*0.1, h: height * 0.8})
	}
	return nil
}

// states draws what lasts as one piece, with its text where that fits.
func (c *canvas) states(g plot, s named, step time.Duration, f field, at box) {
	for i := 0; i < len(s.points); {
		end := i + 1
		for end < len(s.points) && s.points[end].value == s.points[i].value && s.points[end].at-s.points[end-1].at < 1.5*step.Seconds() {
			end++
		}
		text, color, ok := f.mapped(s.points[i].value)
		if !ok {
			text, color = f.text(s.points[i].value), f.color(s.points[i].value)
		}
		x, to := g.px(s.points[i].at), min(g.px(s.points[end-1].at+step.Seconds()), g.x+g.w)
		c.put(`<rect x="%s" y="%s" width="%s" height="%s" rx="2" class="%s" opacity=".8"/>`, px(x), px(at.y), px(max(to-x, 1)), px(at.h), class(color))
		if at.h > 13 && width(text)+10 < to-x {
			c.text(x+6, at.y+at.h/2+4, "", "s card", text)
		}
		i = end
	}
}
