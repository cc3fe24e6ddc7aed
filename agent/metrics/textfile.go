package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/common/expfmt"
)

// pause is how long the writer of the text file waits for further changes: a
// rotation is several. It writes no faster.
const pause = time.Second

// Keep writes the metrics to the file at path after each look of the agent,
// until ctx ends, for the textfile collector of node_exporter. It has no timer
// of its own, so that the age of the file tells of the loop that looks after
// the certificate and not only of this process.
//
// The file stays when ctx ends: a stale one is noticed by its age, also where
// nobody scrapes the agent itself, and the end of a certificate that nobody
// renews any more goes on being told. A file that cannot be written is logged
// once, until it can be.
func (m *Metrics) Keep(ctx context.Context, path string, log *slog.Logger) {
	failing := false
	for {
		select {
		case <-m.changed:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		err := m.write(path)
		if err != nil && !failing {
			log.Warn(err.Error())
		}
		failing = err != nil
	}
}

// text returns the metrics of the agent's own in Prometheus' text format.
// node_exporter has those of every Go program itself, and refuses to have them
// twice.
func (m *Metrics) text() ([]byte, error) {
	families, err := m.own.Gather()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// write replaces the file at path. It is not synced: the next look writes it
// anew, and a disk need not spin up for it.
func (m *Metrics) write(path string) error {
	// Always the same name, which does not end in .prom, so that one that a
	// killed agent leaves is not read and does not stay.
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	text, err := m.text()
	if err == nil {
		err = writeNew(temporary, text)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary) // it may not be there
		return fmt.Errorf("metrics.textfile: %w; the directory must exist and be writable for this user (the unit needs the drop-in textfile.conf); renewals go on", err)
	}
	return nil
}

// writeNew makes the file anew, so that what another user put in its place is
// neither followed nor kept. prometheus.WriteToTextfile changes the mode by the
// name of the file: the owner of the directory could point that at a private key.
func writeNew(path string, text []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Chmod(0o644), f.Close()) // whatever the umask: node_exporter is another user
}
