package check

import (
	"encoding/json"
	"io"
)

// WriteJSON writes the report as one JSON value. Its shape is that of [Report],
// and changes only by what is added.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
