// Package discover finds the redis-servers and valkey-servers of this host, running
// or not yet, and Sentinels among them.
//
// A running server is found by its process, and by its configuration file where that
// can be read; one that does not run by a file in one of the usual places. What a file
// says is what the next start loads. What a running server says by CONFIG GET is what
// holds: see [Server.Differences].
//
// Three promises hold:
//
//   - Nothing is changed, and no secret is kept: of requirepass it is known that there
//     is one. [Passphrase] is for who asks for it by name.
//   - Whatever stands in a configuration file or in a process' title, reading it ends:
//     files are regular and bounded, and so are their number and depth.
//   - What cannot be seen is said. A process of another user shows less than one's own,
//     and the unit of systemd hides more.
package discover
