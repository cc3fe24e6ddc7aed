package main

import (
	"bytes"
	"image/color"
	"time"

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
	grey   = color.RGBA{238, 238, 238, 255}
)

// draw returns three plots, one above the other, as an SVG: after all agents were made,
// after all were replaced by force, and around an outage.
func (r results) draw() ([]byte, error) {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	alone, made, forced, away := r.Courses[0], r.Courses[1], r.Courses[2], r.Courses[3]
	var plots [][]*plot.Plot
	for _, p := range []struct {
		title    string
		from, to time.Duration
		highest  float64
		shade    span
		curves   map[string]course
	}{
		{"Made in the same minute", made.bin(), 4 * day, 0, span{}, map[string]course{"with the jitter alone": alone, "each host takes a turn": made}},
		{"All replaced by force after three days", 2*day + 12*time.Hour, 6 * day, 3, span{}, map[string]course{"": forced}},
		{"The CA is away for six hours", 2*day + 12*time.Hour, 6 * day, 3, away.Outage, map[string]course{"": away}},
	} {
		one := plot.New()
		one.Title.Text, one.Y.Label.Text, one.X.Label.Text = p.title, "by the mean", "days"
		one.Title.TextStyle.Font.Size, one.Title.Padding = 13, 6
		one.Legend.Top, one.Legend.Padding, one.Legend.TextStyle.Font.Size = true, 2, 11
		if p.shade.any() {
			shade, err := outage(p.shade, p.highest)
			if err != nil {
				return nil, err
			}
			one.Add(shade)
		}
		for _, c := range []struct {
			name  string
			color color.Color
		}{{"with the jitter alone", orange}, {"each host takes a turn", blue}, {"", blue}} {
			if of, ok := p.curves[c.name]; ok {
				line := of.line(p.from, p.to, c.color)
				one.Add(line)
				if c.name != "" {
					one.Legend.Add(c.name, line)
				}
			}
		}
		one.X.Min, one.X.Max, one.Y.Min = p.from.Hours()/24, p.to.Hours()/24, 0
		if p.highest > 0 {
			one.Y.Max = p.highest
		}
		plots = append(plots, []*plot.Plot{one})
	}
	return render(plots)
}

// line draws the load in each bin.
func (c course) line(from, to time.Duration, in color.Color) *plotter.Line {
	var points plotter.XYs
	for n, y := range c.at(from, to) {
		points = append(points, plotter.XY{X: (from + time.Duration(n)*c.bin()).Hours() / 24, Y: min(y, 15)})
	}
	return &plotter.Line{XYs: points, LineStyle: draw.LineStyle{Color: in, Width: vg.Points(1)}}
}

func outage(s span, height float64) (*plotter.Polygon, error) {
	from, to := s[0].Hours()/24, s[1].Hours()/24
	shade, err := plotter.NewPolygon(plotter.XYs{{X: from}, {X: to}, {X: to, Y: height}, {X: from, Y: height}})
	if err == nil {
		shade.Color, shade.LineStyle.Width = grey, 0
	}
	return shade, err
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
