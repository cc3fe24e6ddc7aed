package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"

	"redis-cert-agent/agent/report"
)

// A memory is the file with what each target has been told.
type memory struct {
	path string

	mu      sync.Mutex
	targets map[string]map[string]Told // by Target.ID and the key of the problem
}

// maxMemory bounds what is read. A problem has half a kilobyte.
const maxMemory = 4 << 20

// recall reads the memory, of which it leaves what is about targets. A file that
// is damaged is as good as none: at the worst somebody is told again.
func recall(path string, targets []Target) *memory {
	all, err := Read(path)
	if err != nil {
		all = nil
	}
	m := &memory{path: path, targets: map[string]map[string]Told{}}
	for _, t := range targets {
		if known := all[t.ID]; known != nil {
			m.targets[t.ID] = known
		}
	}
	return m
}

// Read returns what each target has been told, by Target.ID and the key of the
// problem, from the file at path; nothing when there is no such file.
func Read(path string) (map[string]map[string]Told, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxMemory {
		return nil, fmt.Errorf("%s does not hold what was told; remove it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all map[string]map[string]Told
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w; it is written anew with the next message", path, err)
	}
	return all, nil
}

// keep writes down what the target id has been told.
func (m *memory) keep(id string, known map[string]Told) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.targets[id] = maps.Clone(known)
	text, err := encode(m.targets)
	if err == nil {
		err = report.ReplaceFile(m.path, text)
	}
	if err != nil {
		return fmt.Errorf("keep what was told: %w; after a restart it may be told again", err)
	}
	return nil
}
