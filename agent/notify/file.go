package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"sync"

	"redis-cert-agent/agent/disk"
)

// A sentFile is the file that keeps what each target was sent, so that a restart
// repeats nothing.
type sentFile struct {
	path string

	mu      sync.Mutex
	targets map[string]map[string]Sent // by Target.ID and the key of the problem
}

// maxFile bounds what is read. A problem has half a kilobyte.
const maxFile = 4 << 20

// openFile reads the file at path and drops targets that are no longer
// configured. A file that is damaged is as good as none: at the worst a problem
// is sent again.
func openFile(path string, targets []Target) *sentFile {
	all, err := Read(path)
	if err != nil {
		all = nil
	}
	f := &sentFile{path: path, targets: map[string]map[string]Sent{}}
	for _, t := range targets {
		if sent := all[t.ID]; sent != nil {
			f.targets[t.ID] = sent
		}
	}
	return f
}

// Read returns what each target was sent and is not resolved, by Target.ID and
// the key of the problem, from the file at path; nothing when there is no such
// file.
func Read(path string) (map[string]map[string]Sent, error) {
	text, err := disk.Read(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, disk.ErrNotRegular), errors.Is(err, disk.ErrTooLarge):
		return nil, fmt.Errorf("%s does not hold what was told; remove it", path)
	case err != nil:
		return nil, err
	}
	var all map[string]map[string]Sent
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w; it is written anew with the next message", path, err)
	}
	return all, nil
}

// save writes down what the target id was sent.
func (f *sentFile) save(id string, sent map[string]Sent) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.targets[id] = maps.Clone(sent)
	text, err := encode(f.targets)
	if err == nil {
		err = disk.Replace(f.path, text)
	}
	if err != nil {
		return fmt.Errorf("keep what was told: %w; after a restart it may be told again", err)
	}
	return nil
}
