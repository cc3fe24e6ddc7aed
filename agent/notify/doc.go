// Package notify sends people what is wrong, and that it is over, where no
// monitoring asks for it; and it fetches a heartbeat.
//
// It is level-triggered, as everything here. For each target the package keeps
// which problems that target was sent. What is to be sent is only the difference
// between that and the problems of the last round: a problem that is new, whose
// severity changed, that is gone, or that is still there after a while. It is
// sent when it has lasted for some time, and leaves the difference when the
// target has accepted it. So nothing is sent twice; a target that was away gets
// what holds when it is back and not what came and went meanwhile; and a restart
// repeats nothing, because what was sent is kept in a file.
//
// Nothing here holds up a renewal: each target has a goroutine of its own, which
// gets the last status, and which the agent waits for only when it stops.
//
// URLs, tokens and keys are read at each use, and stand in no error, no log and
// no file of this package.
package notify
