package main

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"time"

	prometheus "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours are those of Okabe and Ito, which colour-blind people tell apart.
var (
	blue   = color.RGBA{0, 114, 178, 255}
	orange = color.RGBA{230, 159, 0, 255}
	green  = color.RGBA{0, 158, 115, 255}
	red    = color.RGBA{213, 94, 0, 255}
	grey   = color.RGBA{238, 238, 238, 255}
)

// A curve is the answer to a query. Curves of one name have one entry in the legend.
type curve struct {
	name, query string
	color       color.Color
	width       vg.Length
}

// draw returns three plots, one above the other, as an SVG.
func (s *scene) draw(ctx context.Context) ([]byte, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	// Counters are drawn from the beginning of the picture on.
	since := func(counter string) string { return fmt.Sprintf("sum(%s) - sum(%[1]s @ start())", counter) }
	curves := [3][]curve{1: {
		{"certificates issued", since(`redis_cert_agent_issue_attempts_total{outcome="success"}`), green, 2},
		{"CA unreachable", since(`redis_cert_agent_issue_attempts_total{outcome="failure"}`), red, 2},
		{"reloads refused", since(`redis_cert_agent_reload_attempts_total{outcome="failure"}`), orange, 2},
	}}
	var ticks plot.ConstantTicks
	for i, host := range []string{"redis1", "redis2", "redis3"} {
		only := fmt.Sprintf(" and on (instance) up{instance=%q}", host)
		curves[0] = append(curves[0], curve{host, timeLeft + only, []color.Color{blue, orange, green}[i], 2})
		ticks = append(ticks, plot.Tick{Value: float64(3 - i), Label: host})
		for state, name := range []string{"none", "an older one", "the newest"} {
			// A bar is a wide line at one height, where the server is in this state.
			bar := fmt.Sprintf("(%s == %d) * 0 + %d", shown, state, 3-i) + only
			curves[2] = append(curves[2], curve{name, bar, []color.Color{red, orange, green}[state], 14})
		}
	}
	plots := [][]*plot.Plot{{plot.New()}, {plot.New()}, {plot.New()}}
	top, middle, bottom := plots[0][0], plots[1][0], plots[2][0]
	top.Title.Text, top.Y.Label.Text = "Time left of the certificate on disk", "seconds"
	middle.Title.Text, middle.Y.Label.Text = "Attempts since the beginning", "attempts"
	bottom.Title.Text, bottom.X.Label.Text = "The certificate that a handshake with each server shows", "minutes"
	for i, row := range plots {
		if err := s.plot(ctx, row[0], curves[i]); err != nil {
			return nil, err
		}
	}
	top.Y.Max, bottom.Y.Min, bottom.Y.Max, bottom.Y.Tick.Marker = s.Lifetime.Seconds()*1.5, 0.3, 5, ticks
	labels, err := plotter.NewLabels(s.names(top.Y.Max * 0.9))
	if err != nil {
		return nil, err
	}
	top.Add(labels)
	return render(plots)
}

func (s *scene) minutes(t time.Time) float64 { return t.Sub(s.from).Minutes() }

// plot adds curves to a plot. The vertical axis ends at the highest value.
func (s *scene) plot(ctx context.Context, p *plot.Plot, curves []curve) error {
	p.Title.TextStyle.Font.Size, p.Title.Padding = 13, 6
	p.Legend.Top, p.Legend.Left, p.Legend.Padding, p.Legend.TextStyle.Font.Size = true, true, 2, 11
	for _, o := range s.outages {
		from, to := s.minutes(o.from), s.minutes(o.to)
		shade, err := plotter.NewPolygon(plotter.XYs{{X: from, Y: 0}, {X: to, Y: 0}, {X: to, Y: 1e3}, {X: from, Y: 1e3}})
		if err != nil {
			return err
		}
		shade.Color, shade.LineStyle.Width = grey, 0
		p.Add(shade)
	}
	highest, named := 0.0, map[string]bool{}
	for _, c := range curves {
		answer, _, _, err := s.metrics.QueryRange(ctx, c.query, prometheus.Range{Start: s.from, End: s.to, Step: scrapeEvery})
		if err != nil {
			return fmt.Errorf("query %s: %w", c.query, err)
		}
		style := draw.LineStyle{Color: c.color, Width: c.width}
		for _, stream := range answer.(model.Matrix) {
			var points plotter.XYs
			for i, v := range stream.Values {
				if i > 0 && v.Timestamp.Sub(stream.Values[i-1].Timestamp) > scrapeEvery {
					p.Add(&plotter.Line{XYs: points, LineStyle: style})
					points = nil
				}
				points = append(points, plotter.XY{X: s.minutes(v.Timestamp.Time()), Y: float64(v.Value)})
				highest = max(highest, float64(v.Value))
			}
			p.Add(&plotter.Line{XYs: points, LineStyle: style})
		}
		if !named[c.name] {
			p.Legend.Add(c.name, &plotter.Line{LineStyle: draw.LineStyle{Color: c.color, Width: min(c.width, 8)}})
		}
		named[c.name] = true
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, s.minutes(s.to), 0, highest*1.05
	return nil
}

// names returns what the outages are called, at the beginning of each.
func (s *scene) names(height float64) (names plotter.XYLabels) {
	for _, o := range s.outages {
		names.XYs = append(names.XYs, plotter.XY{X: s.minutes(o.from) + 0.04, Y: height})
		names.Labels = append(names.Labels, o.name)
	}
	return names
}

func render(plots [][]*plot.Plot) ([]byte, error) {
	canvas := vgsvg.New(800, 600)
	whole := draw.New(canvas)
	whole.SetColor(color.White)
	whole.Fill(whole.Rectangle.Path())
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadY: 14, PadTop: 8, PadBottom: 8, PadLeft: 8, PadRight: 20}
	for i, row := range plot.Align(plots, tiles, whole) {
		plots[i][0].Draw(row[0])
	}
	var svg bytes.Buffer
	_, err := canvas.WriteTo(&svg)
	// Where Liberation Sans is not installed, Arial has the same widths.
	return bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,sans-serif")), err
}
