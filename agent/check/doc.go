// Package check says what is wrong with certificates, or soon will be: those
// that servers show, those in files, and those that lead from them to a root.
//
// It works in three steps that know nothing of each other. [Run] goes out and
// brings what it found, on the network and on disk, as a [Found] for each
// [Target]. [Judge] is pure: certificates, what is wanted of them, and the time
// go in, and a [Result] comes out, for any certificate that parses, however odd.
// A [Report] of all results is rendered as text for people, as JSON, or as a
// monitoring plugin prints it.
//
// A fault is critical when clients fail now, or will within the critical margin.
// It is a warning when they do not yet. It is unknown when this user could not
// look. See [State] for the order of the three.
package check
