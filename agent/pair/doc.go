// Package pair keeps a certificate, its key and its CA certificates on disk so
// that the three are always of one piece: the agent's own pair in a [Store]. An
// [External] reads a pair that another program renews.
//
// Whatever process opens the files after a crash, a SIGKILL or a power loss, at
// whichever system call that came, finds a certificate and a key that belong
// together, and nothing has to run first to put them in order.
//
// # Layout
//
//	Dir/current                      -> generations/000007
//	Dir/generations/000007/redis.crt    the chain, leaf first
//	Dir/generations/000007/redis.key    its private key
//	Dir/generations/000007/ca.crt       what tls-ca-cert-file gets; absent when there is none
//	Dir/generations/000007/origin.json  who made it, when, and digests of the above; no secrets
//	Dir/ca.crt                          a copy of current/ca.crt that everybody on this host may read
//	Dir/found/                          what other programs wrote and the agent replaced; has private keys
//	Dir/seen                            fingerprints of the leaves that were here last
//	Dir/distrusted.json                 which keys may be in other hands, and how far their replacement got
//	Dir/lock                            held by the one process that may change any of this
//
// redis.conf names Dir/current/redis.crt and its two neighbours, or plain paths
// of its own ([Paths]) that are symbolic links to them.
//
// # Why it holds
//
// A generation is written under a temporary name, every file and the directory
// is fsynced, and then it is renamed into place and never changed again.
// [Store.Switch] makes another generation the current one by renaming a
// symbolic link over `current`. "If newpath already exists, it will be
// atomically replaced" (rename(2)), so `current` leads to the old generation or
// to the new one and never to a part of each. Each directory is fsynced before
// the next step relies on it, because rename orders nothing on disk by itself.
//
// Temporary names that a crash left behind are removed by the next [Open].
// Readers pay no attention to them.
//
// # Plain paths
//
// A redis.conf that was there before the agent names plain files. These become
// symbolic links into `current`, one rename each, and only while `current`
// holds what the plain files hold. The order follows from that. Let E be what
// redis would read now: the certificate from where its path leads, the key from
// where its own leads. Each of the two may be a plain file (F) or lead through
// `current` (C).
//
//	cert key   how it came about              changing current first    linking first
//	F    F     files before the agent, or     touches neither           mixes E with current
//	           both replaced since
//	C    F     stopped between two links,     mixes E with the new      harmless only if current
//	F    C     or one file was replaced       generation                holds E
//	C    C     linked; or written in place    moves both at once        nothing to do
//
// So neither order is right for every start, but this one is:
//
//  1. make a generation of E, unless there is one;
//  2. switch to it: F does not move, C moves to the same content;
//  3. link: every F becomes a C of the same content;
//  4. switch to whatever is wanted: both are C, both move in one rename.
//
// [Store.Adopt] is steps 1 to 3. [Store.Link] is all four, with the generation
// that was current as the last. [Store.Switch] does steps 1 to 3 first when it
// finds one path linked and the other not. When current already holds E, steps
// 1 and 2 have nothing to do. When E does not match in itself (a truncated
// file, the key of another certificate) there is nothing to preserve but its
// bytes: they are kept under Dir/found before a link takes their place, and the
// pair is whole again with the last link.
//
// Dir/found has a file for each such text, readable by the agent's user alone,
// and whole generations that were not adopted, as readable as any pair. They are
// kept for people, with the time of writing in their names: the agent needs none
// and removes none.
//
// A plain path that cannot be replaced, because it is a mount of its own or
// because its directory cannot be written, is an error before anything has
// changed. The agent never writes into a file that redis reads.
//
// # A pair that another program renews
//
// An [External] makes no generation and no link: it reads the files where they
// are, whatever links lead there, and tells a whole pair from what a write in
// progress leaves. Nothing here can be promised of a crash, because the agent does
// not write the files.
//
// # What cannot be promised
//
// redis opens the two files one after the other. A process that opens the
// certificate before a switch and the key after it gets one of each. Redis
// opens both within one CONFIG SET, or at its start, and the agent sends that
// CONFIG SET after its switch, so only a redis that another program starts or
// reloads within those microseconds can meet it; it then refuses the files or
// fails its handshakes until the next reload, which the agent's proof demands.
// The promise of this package is for a process that starts after a crash.
//
// Another program that writes at the same time knows nothing of the lock. A file
// that it renames onto a plain path between the agent's last look and the
// agent's rename is lost; the two are neighbouring system calls.
package pair
