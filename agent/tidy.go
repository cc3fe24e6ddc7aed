package agent

import "fmt"

// tidy does what nobody waits for, after a round: it writes down which leaves were there,
// lets the clients of this host read the CA certificates that are current, and removes
// old pairs.
func (a *Agent) tidy() {
	a.remember()
	if a.own == nil {
		return
	}
	a.share()
	a.prune()
}

func (a *Agent) remember() {
	text := ""
	if err := a.opt.Store.Remember(); err != nil {
		text = err.Error()
	}
	if changed(&a.process.leafFault, text) {
		a.opt.Log.Warn(text)
	}
}

func (a *Agent) share() {
	text := ""
	if err := a.own.Share(); err != nil {
		text = err.Error()
	}
	if changed(&a.process.shareFault, text) {
		a.opt.Log.Warn(text)
	}
}

// prune removes old pairs once the newest one has been proven, but none that a server
// showed before the last load or shows now: a server that is busy then is recognised by
// it later.
func (a *Agent) prune() {
	if !a.process.prune {
		return
	}
	text := ""
	err := a.own.Prune(a.process.inUse...)
	a.process.prune, a.process.inUse = false, nil
	if err != nil {
		text = fmt.Sprintf("old pairs, with their keys, stay on disk: %v", err)
	}
	if changed(&a.process.pruneFault, text) {
		a.opt.Log.Warn(text)
	}
}
