package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A canvas is an SVG that grows.
type canvas struct{ strings.Builder }

// Each colour is a class, so that one picture suits a light page and a dark one.
// The names are Grafana's; p0 and so on are what it calls the palette.
var colors = []struct{ class, light, dark string }{
	{"page", "#f3f4f6", "#111217"},
	{"card", "#ffffff", "#1a1d22"},
	{"edge", "#dfe2e6", "#2e3339"},
	{"grid", "#e8eaed", "#2b2f35"},
	{"text", "#23272e", "#d8dade"},
	{"dim", "#636a75", "#949aa5"},
	{"green", "#2f9e44", "#6cc070"},
	{"orange", "#e8790c", "#ff9830"},
	{"red", "#d6303f", "#f2495c"},
	{"p0", "#0a8a8f", "#4fc4c9"},
	{"p1", "#8c6d1f", "#d9b44a"},
	{"p2", "#2c6fd1", "#5d9bf5"},
	{"p3", "#b9377e", "#f07ab5"},
	{"p4", "#5c6470", "#a2a9b4"},
	{"p5", "#8a4fd0", "#bb86e8"},
}

const palette = 6

const fontSize = 12.5

func (c *canvas) put(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

// begin opens the picture.
func (c *canvas) begin(width, height float64, title, description string) {
	c.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" role="img" aria-labelledby="t d">`, px(width), px(height))
	c.put(`<title id="t">%s</title><desc id="d">%s</desc>`, escape(title), escape(description))
	c.put(`<style>`)
	c.put(`text{font:%gpx system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}`, fontSize)
	c.put(`.b{font-weight:600}.s{font-size:11.5px}.l{fill:none;stroke-width:1.8;stroke-linejoin:round}`)
	for _, color := range colors {
		c.style(color.class, color.light)
	}
	c.put(`@media(prefers-color-scheme:dark){`)
	for _, color := range colors {
		c.style(color.class, color.dark)
	}
	c.put(`}</style>`)
	c.rect(0, 0, width, height, 8, "page")
}

// style gives a class its colour: texts and shapes are filled, lines are not.
func (c *canvas) style(class, color string) {
	c.put(".%[1]s{fill:%[2]s}.l.%[1]s{fill:none;stroke:%[2]s}", class, color)
}

func (c *canvas) end() { c.put(`</svg>`) }

func (c *canvas) rect(x, y, w, h, radius float64, class string) {
	c.put(`<rect x="%s" y="%s" width="%s" height="%s" rx="%s" class="%s"/>`, px(x), px(y), px(w), px(h), px(radius), class)
}

// text writes s, from x on, or centred on it ("middle"), or up to it ("end").
func (c *canvas) text(x, y float64, anchor, class, s string) {
	if anchor != "" {
		anchor = ` text-anchor="` + anchor + `"`
	}
	c.put(`<text x="%s" y="%s"%s class="%s">%s</text>`, px(x), px(y), anchor, class, escape(s))
}

// big writes s in letters of another size.
func (c *canvas) big(x, y, size float64, class, s string) {
	c.put(`<text x="%s" y="%s" text-anchor="middle" class="b %s" style="font-size:%spx">%s</text>`, px(x), px(y), class, px(size), escape(s))
}

func (c *canvas) line(x1, y1, x2, y2 float64, class, more string) {
	c.put(`<path d="M%s %sL%s %s" class="l %s"%s/>`, px(x1), px(y1), px(x2), px(y2), class, more)
}

// px is a coordinate: a tenth of a pixel is seen by nobody.
func px(v float64) string { return strconv.FormatFloat(float64(int(v*10+0.5))/10, 'f', -1, 64) }

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

// width estimates how wide s is in the size of the text. Whose font it will be
// is not known; this is on the wide side of most.
func width(s string) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("iljtfI.,:;'|!()[] ", r):
			w += 0.37
		case strings.ContainsRune("mwMW%—", r):
			w += 0.95
		case r >= 'A' && r <= 'Z':
			w += 0.7
		default:
			w += 0.63
		}
	}
	return w * fontSize
}

// fit shortens s to what the width holds.
func fit(s string, max float64) string {
	if width(s) <= max {
		return s
	}
	runes := []rune(s)
	for len(runes) > 1 && width(string(runes)+"…") > max {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// class is the class of a colour of Grafana's.
func class(color string) string {
	for _, c := range colors {
		if c.class == color {
			return color
		}
	}
	return "dim"
}
