package plan

import "time"

// waitStep is how often it is asked whether all servers trust a root, where no load that is
// to come tells.
const waitStep = 5 * time.Second

// bundle returns the step that the CA certificates call for, before any other that is
// about a certificate: nil when there is none, and then again is when to ask once more.
//
// A certificate of a new root is kept back until all servers trust that, because they
// present it to each other. But nothing outranks the end of the one before.
func bundle(now time.Time, f Facts, again *time.Time) *Step {
	if f.Newest == nil || !now.Before(f.Newest.end()) {
		return nil
	}
	if now.Before(f.Waits) {
		s := load(now, f)
		if s.Do != Load {
			s = Step{Why: "a new certificate waits until all servers trust its root", At: sooner(sooner(s.At, f.Waits), now.Add(waitStep))}
		}
		return &s
	}
	if !f.Bundle || !f.Current || f.Foreign {
		return nil
	}
	if at := f.Bundling.retry(now, f.Newest, loading); now.Before(at) {
		*again = sooner(*again, at)
		return nil
	}
	return &Step{Do: Bundle, Why: "the roots that servers are to trust changed"}
}
