// Package doctor looks at every precondition of a renewal, in order, from the
// configuration to the proof: the redis-cert-agent doctor command.
//
// Each line of a [Report] says what was looked at, what was found, and where that is not
// as it should be, what to do about it, as a command to paste where one does it. Nothing
// is issued, loaded or changed. With a running agent the lines about authorities, the
// disk, servers and who is notified are what that agent found in its own sandbox, with
// its own credentials; without one this process looks for itself, by the same functions.
package doctor

import (
	"context"
	"slices"
	"time"

	"redis-cert-agent/agent/config"
	"redis-cert-agent/agent/plain"
	"redis-cert-agent/agent/status"
)

// State is how what a line is about was found.
type State string

// A warning keeps no renewal from working. Unknown is what could not be looked at.
const (
	OK      State = "ok"
	Warning State = "warning"
	Fault   State = "fault"
	Unknown State = "unknown"
)

// A Line is one precondition.
type Line struct {
	Check   Check  `json:"check"`
	Subject string `json:"subject,omitempty"` // which one: an address, a path, a name
	State   State  `json:"state"`
	Found   string `json:"found"`
	Remedy  string `json:"remedy,omitempty"` // a command, or what to do; empty where nothing is to be done
}

// A Check is a kind of precondition. Its name never changes.
type Check string

// The checks, in the order in which they are made.
const (
	Configuration Check = "configuration"
	Secrets       Check = "secrets"
	Unit          Check = "unit"
	Agent         Check = "agent"
	Clock         Check = "clock"
	Authority     Check = "authority"
	Names         Check = "names"
	Ports         Check = "ports"
	Disk          Check = "disk"
	Rights        Check = "rights"
	SELinux       Check = "selinux"
	Inotify       Check = "inotify"
	Servers       Check = "servers"
	ACL           Check = "acl"
	Usages        Check = "usages"
	Restarts      Check = "restarts"
	Renewers      Check = "renewers"
	Notify        Check = "notify"
	Proof         Check = "proof"
)

// checks are the checks with their exit codes, by cause, and what each looks for: the table
// in docs/doctor.md.
var checks = []struct {
	Check
	exit int
	what string
}{
	{Configuration, 10, "the file can be read and says what can work"},
	{Secrets, 10, "each secret and file that it names can be read, by nobody else"},
	{Unit, 11, "the agent's unit is installed, enabled and has not failed"},
	{Agent, 11, "an agent runs, of the same version; what it finds in its own sandbox counts"},
	{Clock, 12, "this host's clock is synchronised, and near that of the authority"},
	{Authority, 13, "it answers and is healthy, its root is the pinned one, its provisioner or account takes the agent, the proof of each name works on this side; nothing is issued"},
	{Names, 13, "each name of the certificate leads to this host from here; else a warning"},
	{Ports, 13, "the address of `metrics.listen` is free, or the agent has it"},
	{Disk, 12, "a file can be written, synced and removed; bytes and inodes are left"},
	{Rights, 14, "the agent may write its directory; redis may open certificate, key and CA, tried with its user in its unit's sandbox (as root)"},
	{SELinux, 12, "the label of the directory lets redis read it, where there is SELinux"},
	{Inotify, 12, "the kernel lets the agent watch its files"},
	{Servers, 15, "login, CONFIG GET and CONFIG SET, `tls-cert-file` leads to the pair, links are up"},
	{ACL, 15, "the agent's user has no more rights than it needs; else a warning"},
	{Usages, 15, "the certificate is good for what the server uses it for"},
	{Restarts, 15, "a Sentinel needs a restart, a Valkey loads files itself: a warning"},
	{Renewers, 16, "no timer (cert-renewer@), certbot, certmonger, cron job or process renews the same files"},
	{Notify, 17, "each place of `notify` and `heartbeat` can be reached; nothing is sent"},
	{Proof, 18, "there is a certificate on disk, it has not ended, and each server shows it in a fresh handshake"},
}

// A Report is everything that was looked at.
type Report struct {
	Instance string    `json:"instance"`
	Config   string    `json:"config"`
	Version  string    `json:"version"`
	Now      time.Time `json:"now"`
	Exit     int       `json:"exit"` // the exit code of the command
	Lines    []Line    `json:"lines"`

	status status.Status // of the agent, or of the look without one
	config *config.Config
}

// Options says what is looked at.
type Options struct {
	Config  string     // the path of the configuration
	Version string     // of this program
	Each    func(Line) // is called with each line as soon as it is known; may be nil

	host host // the zero host is this one
}

// Run looks at everything. What cannot be looked at is a line as well, so that there is
// no error.
func Run(ctx context.Context, o Options) *Report {
	o.host.defaults()
	v := &visit{Options: o, report: &Report{Config: o.Config, Version: o.Version, Now: time.Now().UTC()}}
	if v.configuration() {
		defer v.lendCredentials(ctx)()
		for _, look := range []func(context.Context){
			v.secrets, v.units, v.agent, v.clock, v.authorities, v.names, v.ports, v.disk, v.rights, v.selinux, v.inotify,
			v.servers, v.acl, v.restarts, v.renewers, v.notify, v.proof,
		} {
			if ctx.Err() == nil {
				look(ctx)
			}
		}
	}
	v.report.Exit = exitOf(v.report.Lines)
	return v.report
}

// exitOf returns the exit code of the first fault; warnings are none.
func exitOf(lines []Line) int {
	for _, l := range lines {
		for _, c := range checks {
			if l.State == Fault && c.Check == l.Check {
				return c.exit
			}
		}
	}
	return 0
}

// A visit is one run.
type visit struct {
	Options
	report *Report

	c       *config.Config
	unit    unit // of the agent
	running bool // an agent answers
	s       status.Status
	looked  bool // s is known
}

// say adds a line.
func (v *visit) say(state State, check Check, subject, found, remedy string) {
	l := Line{Check: check, Subject: subject, State: state, Found: plain.OneLine(found), Remedy: plain.OneLine(remedy)}
	v.report.Lines = append(v.report.Lines, l)
	if v.Each != nil {
		v.Each(l)
	}
}

// finding adds the line of what a rehearsal found.
func (v *visit) finding(check Check, f status.Finding) {
	if f.Fault == "" {
		v.say(OK, check, f.Subject, f.Found, "")
		return
	}
	found, remedy := split(f.Fault, f.Hint)
	v.say(Fault, check, f.Subject, found, remedy)
}

// findings returns what the rehearsal found of one kind.
func (v *visit) findings(need status.Need) []status.Finding {
	if v.s.Rehearsal == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.s.Rehearsal.Findings), func(f status.Finding) bool { return f.Need != need })
}
