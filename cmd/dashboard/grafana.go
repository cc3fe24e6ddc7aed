package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

// A dashboard is what of Grafana's model this program draws.
type dashboard struct {
	Title  string
	Panels []panel
}

type panel struct {
	Type, Title     string
	GridPos         struct{ X, Y, W, H int }
	Targets         []target
	MaxDataPoints   int
	FieldConfig     fieldConfig
	Transformations []struct {
		ID      string
		Options json.RawMessage
	}
	Options struct {
		SortBy []struct{ DisplayName string }
	}
}

type target struct {
	RefID, Expr, LegendFormat string
}

type fieldConfig struct {
	Defaults  field
	Overrides []struct {
		Matcher    struct{ ID, Options string }
		Properties []struct {
			ID    string
			Value json.RawMessage
		}
	}
}

// A field says how values are shown.
type field struct {
	Unit       string
	Decimals   *int
	Min, Max   *float64
	Thresholds thresholds
	Mappings   []struct {
		Options map[string]struct{ Text, Color string }
	}
	Color  struct{ Mode, FixedColor string }
	Custom struct {
		DrawStyle, LineInterpolation string
		FillOpacity                  int
		Stacking, ThresholdsStyle    struct{ Mode string }
		CellOptions                  struct{ Type string }
	}
}

type thresholds struct {
	Steps []struct {
		Color string
		Value *float64
	}
}

func readDashboard(path string) (dashboard, error) {
	var d dashboard
	text, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return d, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// color returns the colour of v by the thresholds.
func (f field) color(v float64) string {
	if f.Color.Mode == "fixed" {
		return f.Color.FixedColor
	}
	color := "text"
	for _, s := range f.Thresholds.Steps {
		if s.Value == nil || v >= *s.Value {
			color = s.Color
		}
	}
	return color
}

// mapped returns the text and the colour that a mapping gives to v.
func (f field) mapped(v float64) (text, color string, ok bool) {
	for _, m := range f.Mappings {
		if to, ok := m.Options[fmt.Sprint(v)]; ok {
			return to.Text, to.Color, true
		}
	}
	return "", "", false
}

// text formats v as its unit wants it.
func (f field) text(v float64) string {
	if text, _, ok := f.mapped(v); ok {
		return text
	}
	decimals := func(otherwise int) int {
		if f.Decimals != nil {
			return *f.Decimals
		}
		return otherwise
	}
	switch f.Unit {
	case "percentunit":
		return fmt.Sprintf("%.*f%%", decimals(0), 100*v)
	case "dateTimeAsIso":
		return time.UnixMilli(int64(v)).UTC().Format(time.DateTime)
	case "s":
		return seconds(v, decimals(1))
	}
	if v == math.Trunc(v) {
		return fmt.Sprintf("%.*f", decimals(0), v)
	}
	return fmt.Sprintf("%.*f", decimals(2), v)
}

// seconds formats a time as Grafana does: in the largest unit that it fills.
func seconds(v float64, decimals int) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"years", 365.25 * 86400}, {"weeks", 7 * 86400}, {"days", 86400}, {"hours", 3600}, {"mins", 60}, {"s", 1}} {
		if math.Abs(v) >= u.size {
			return fmt.Sprintf("%.*f %s", decimals, v/u.size, u.name)
		}
	}
	if v == 0 {
		return "0 s"
	}
	return fmt.Sprintf("%.*f ms", decimals, 1000*v)
}

// override returns the field of the series or column of this name.
func (c fieldConfig) override(name string) (field, error) {
	f := c.Defaults
	for _, o := range c.Overrides {
		if o.Matcher.ID != "byName" {
			return f, fmt.Errorf("an override by %s is not drawn", o.Matcher.ID)
		}
		if o.Matcher.Options != name {
			continue
		}
		for _, p := range o.Properties {
			var into any
			switch p.ID {
			case "unit":
				into = &f.Unit
			case "decimals":
				into = &f.Decimals
			case "min":
				into = &f.Min
			case "max":
				into = &f.Max
			case "thresholds":
				f.Thresholds = thresholds{}
				into = &f.Thresholds
			case "color":
				into = &f.Color
			case "custom.cellOptions":
				into = &f.Custom.CellOptions
			default:
				return f, fmt.Errorf("the property %s is not drawn", p.ID)
			}
			if err := json.NewDecoder(bytes.NewReader(p.Value)).Decode(into); err != nil {
				return f, fmt.Errorf("%s: %w", p.ID, err)
			}
		}
	}
	return f, nil
}

// legend fills in a legendFormat.
func legend(format string, labels map[string]string) string {
	for name, value := range labels {
		format = strings.ReplaceAll(format, "{{"+name+"}}", value)
	}
	return format
}
