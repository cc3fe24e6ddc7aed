// Package report tells what the agent last knew: to people, to systemd and to
// the journal.
//
// A change in the world is one log entry: an Event with a MESSAGE_ID that never
// changes, fields with the keys of this package, and a text that can be read
// alone. NewLogger writes it to the journal in its native protocol when
// systemd started the process, and as text otherwise.
//
// What holds now is a Status. The loop puts one on a Board after every look;
// the control socket, the STATUS line of systemd and the status command show
// that one and none of their own.
package report
