package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// A cell is a text, or a value with what it looks like.
type cell struct {
	text  string
	value *float64
}

// table draws what several queries know of the same things, a row for each.
func (c *canvas) table(ctx context.Context, p panel, r recording, at box) error {
	rows, err := p.merge(ctx, r)
	if err != nil {
		return err
	}
	columns, err := p.organize(rows)
	if err != nil {
		return err
	}
	for i := range rows {
		for j := range columns {
			if v := rows[i][columns[j].key]; v.value != nil {
				rows[i][columns[j].key] = cell{columns[j].text(*v.value), v.value}
			}
		}
	}
	p.sort(rows, columns)
	layout(columns, rows, at.w)

	const high = 24.0
	x := at.x
	for _, col := range columns {
		c.text(x+4, at.y+12, "", "b dim", fit(col.name, col.width-8))
		y := at.y + high
		for _, row := range rows {
			if y+high > at.y+at.h+8 {
				return fmt.Errorf("%d rows do not fit: make the panel higher", len(rows))
			}
			if x == at.x {
				c.line(x, y-5, x+at.w, y-5, "grid", ` style="stroke-width:1"`)
			}
			c.cell(col, row[col.key], box{x + 4, y, col.width - 8, high})
			y += high
		}
		x += col.width
	}
	return nil
}

func (c *canvas) cell(col tableColumn, v cell, at box) {
	if v.value == nil || col.Custom.CellOptions.Type != "gauge" {
		c.text(at.x, at.y+12, "", "text", fit(v.text, at.w))
		return
	}
	share := min(max(*v.value, 0), 1)
	color, bar := class(col.color(*v.value)), at.w-44
	c.rect(at.x, at.y+2, bar, 11, 2, "grid")
	c.rect(at.x, at.y+2, max(bar*share, 1), 11, 2, color)
	c.text(at.x+at.w, at.y+12, "end", "b "+color, v.text)
}

// merge asks the questions, and puts what has the same labels in one row.
func (p panel) merge(ctx context.Context, r recording) ([]map[string]cell, error) {
	var rows []map[string]cell
	index := map[string]int{}
	for _, t := range p.Targets {
		answers, err := prometheus{r.url}.instant(ctx, chosen(t.Expr, r, r.scrape), r.to)
		if err != nil {
			return nil, err
		}
		for _, s := range answers {
			var labels []string
			row := map[string]cell{}
			for name, value := range s.labels {
				labels = append(labels, name+"="+value)
				row[name] = cell{text: value}
			}
			sort.Strings(labels)
			key := strings.Join(labels, "\n")
			at, known := index[key]
			if !known {
				at = len(rows)
				index[key] = at
				rows = append(rows, row)
			}
			rows[at]["Value #"+t.RefID] = cell{value: &s.points[0].value}
		}
	}
	return rows, nil
}

type tableColumn struct {
	field
	key, name string
	width     float64
}

// organize returns the columns in their order. One that is empty in all rows is
// left out: the picture is narrower than a screen.
func (p panel) organize(rows []map[string]cell) ([]tableColumn, error) {
	var how struct {
		ExcludeByName map[string]bool
		IndexByName   map[string]int
		RenameByName  map[string]string
	}
	for _, t := range p.Transformations {
		if t.ID == "organize" {
			if err := json.Unmarshal(t.Options, &how); err != nil {
				return nil, err
			}
		}
	}
	seen := map[string]bool{}
	var columns []tableColumn
	for _, row := range rows {
		for key, v := range row {
			if seen[key] || how.ExcludeByName[key] || v == (cell{}) {
				continue
			}
			seen[key] = true
			name := cmp.Or(how.RenameByName[key], key)
			f, err := p.FieldConfig.override(name)
			if err != nil {
				return nil, err
			}
			columns = append(columns, tableColumn{field: f, key: key, name: name})
		}
	}
	slices.SortFunc(columns, func(a, b tableColumn) int {
		return cmp.Or(cmp.Compare(how.IndexByName[a.key], how.IndexByName[b.key]), strings.Compare(a.key, b.key))
	})
	return columns, nil
}

// sort sorts by the column that the panel names, and then by all others, so that
// the same data give the same picture.
func (p panel) sort(rows []map[string]cell, columns []tableColumn) {
	slices.SortFunc(rows, func(a, b map[string]cell) int {
		for _, by := range p.Options.SortBy {
			for _, col := range columns {
				if v, w := a[col.key].value, b[col.key].value; col.name == by.DisplayName && v != nil && w != nil && *v != *w {
					return cmp.Compare(*v, *w)
				}
			}
		}
		for _, col := range columns {
			if order := strings.Compare(a[col.key].text, b[col.key].text); order != 0 {
				return order
			}
		}
		return 0
	})
}

// layout gives each column what it needs, and takes what is missing from the
// widest.
func layout(columns []tableColumn, rows []map[string]cell, total float64) {
	sum := 0.0
	for i := range columns {
		col := &columns[i]
		col.width = width(col.name)*1.1 + 12
		for _, row := range rows {
			col.width = max(col.width, width(row[col.key].text)+12)
		}
		if col.Custom.CellOptions.Type == "gauge" {
			col.width = max(col.width, 170)
		}
		sum += col.width
	}
	for ; sum > total; sum-- {
		widest := slices.MaxFunc(columns, func(a, b tableColumn) int { return cmp.Compare(a.width, b.width) })
		for i := range columns {
			if columns[i].key == widest.key {
				columns[i].width--
			}
		}
	}
	if len(columns) == 0 {
		return
	}
	for i := range columns {
		columns[i].width += (total - sum) / float64(len(columns))
	}
}
