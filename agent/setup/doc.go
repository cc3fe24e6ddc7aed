// Package setup makes a host ready for the agent: it writes the configuration, the
// secrets and what systemd needs, gives the agent the directory of the pair, makes a
// running Redis serve TLS, and takes all of it back.
//
// A [Plan] says what is to be done before anything is. Each of its actions looks first
// whether its work is done already, so that a second run changes nothing and one that was
// interrupted goes on. What was there before is kept in a record beside the
// configuration, from which [Undo] goes back.
package setup
