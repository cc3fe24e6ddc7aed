package check

import "fmt"

// A State is a verdict. The values are the exit codes of monitoring plugins
// (Monitoring Plugins Development Guidelines, "Plugin Return Codes").
type State int

// The states. By badness they are OK, Unknown, Warning, Critical: a certificate
// that could not be looked at does not hide one that has expired.
const (
	OK State = iota
	Warning
	Critical
	Unknown
)

var stateNames = [...]string{OK: "OK", Warning: "WARNING", Critical: "CRITICAL", Unknown: "UNKNOWN"}

// String returns the state in capitals.
func (s State) String() string { return stateNames[s] }

// MarshalText returns the state in capitals.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if name == string(text) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no state", text)
}

// badness orders the states.
func (s State) badness() int { return [...]int{OK: 0, Unknown: 1, Warning: 2, Critical: 3}[s] }

// worse returns the worse one of two states.
func worse(a, b State) State {
	if b.badness() > a.badness() {
		return b
	}
	return a
}
