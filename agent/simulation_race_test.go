//go:build race

package agent

// underRace says that the race detector slows everything down.
const underRace = true
