// Package notify tells people what is wrong, and that it is over, where no
// monitoring asks for it; and it sends a sign of life.
//
// It is level-triggered, as everything here. For each target the package keeps
// one memory: which problems that target has been told. What follows is only
// the difference between that and the problems of the last round: a new one, one
// whose severity changed, one that is gone, one that is still there after a
// while. It is told when it has held for some time, and taken off the difference
// when the target has accepted it. So nothing is told twice, a target that was
// away is told what holds when it is back and not what came and went meanwhile,
// and a restart repeats nothing, because the memory is a file.
//
// Nothing here holds up a renewal: each target has a goroutine of its own, which
// gets the last status and is waited for by nobody before the end.
//
// URLs, tokens and keys are read at each use, and stand in no error, no log and
// no file of this package.
package notify
