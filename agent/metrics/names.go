package metrics

const prefix = "redis_cert_agent_"

// A metric is what its samples have in common.
type metric struct {
	name   string
	kind   kind
	help   string
	labels []string // beside agent; in alphabetical order, as they are written
}

type kind string

const (
	counter   kind = "counter"
	gauge     kind = "gauge"
	histogram kind = "histogram"
)

// What the agent is.
var (
	buildInfo = &metric{"build_info", gauge, "The program: its version and that of Go; always 1.", []string{"goversion", "version"}}
	startTime = &metric{"start_time_seconds", gauge, "When this process started.", nil}
)

// What is counted; see Observe.
var (
	issued        = &metric{"certificates_issued_total", counter, "Certificates that were got and are on disk, by the authority and the way: sign, rekey, renew, renew-token, acme.", []string{"issuer", "method"}}
	reloads       = &metric{"reload_attempts_total", counter, "Attempts to make a server load and prove the newest certificate, by outcome: success, failure, unreachable.", []string{"outcome", "server"}}
	duration      = &metric{"reload_duration_seconds", histogram, "How long a reload took that succeeded, with the proof by a handshake.", []string{"server"}}
	reloadSuccess = &metric{"reload_last_success_timestamp_seconds", gauge, "When a reload of a server last succeeded.", []string{"server"}}
	reloadFailure = &metric{"reload_last_failure_timestamp_seconds", gauge, "When a reload of a server last failed, or did not reach it.", []string{"server"}}
	rollbacks     = &metric{"rollbacks_total", counter, "How often the previous certificate was made current again because no server proved the new one.", nil}
	notifications = &metric{"notifications_total", counter, "Messages to the places of notify and heartbeat, by outcome: success, failure.", []string{"outcome", "target"}}
)

// What is read off the board; see table.read.
var (
	notAfter   = &metric{"certificate_not_after_timestamp_seconds", gauge, "When a certificate ends.", []string{"path", "role", "server", "subject", "where"}}
	notBefore  = &metric{"certificate_not_before_timestamp_seconds", gauge, "When a certificate begins.", []string{"path", "role", "server", "subject", "where"}}
	info       = &metric{"certificate_info", gauge, "Which certificate it is; always 1.", []string{"issuer", "path", "role", "serial", "server", "subject", "where"}}
	unreadable = &metric{"certificate_unreadable", gauge, "A file that is watched and cannot be read; always 1.", []string{"path", "server", "where"}}

	renewalDue   = &metric{"renewal_due_timestamp_seconds", gauge, "When the agent renews the newest certificate; missing where another hand renews.", nil}
	attempts     = &metric{"issue_attempts_total", counter, "Attempts to get a certificate, by outcome: success, failure, refused (one was given and is of no use).", []string{"issuer", "outcome"}}
	issueSuccess = &metric{"issue_last_success_timestamp_seconds", gauge, "When an authority last gave a certificate.", []string{"issuer"}}
	issueFailure = &metric{"issue_last_failure_timestamp_seconds", gauge, "When an authority last gave none.", []string{"issuer"}}
	rotations    = &metric{"rotations_total", counter, "New certificates that every server has proved.", nil}

	up     = &metric{"server_up", gauge, "Whether the last look got a TLS handshake from a server.", []string{"server"}}
	proven = &metric{"server_proven", gauge, "Whether a handshake showed the newest certificate, as a client would accept it.", []string{"server"}}
	drift  = &metric{"server_drift", gauge, "Whether a server shows another certificate than the newest on disk; 0 while it is not reached.", []string{"server"}}

	lastLook = &metric{"last_look_timestamp_seconds", gauge, "When the agent last looked at the disk and at each server: the time of all gauges.", nil}
	synced   = &metric{"clock_synchronized", gauge, "Whether the system clock is synchronized.", nil}
	healthy  = &metric{"healthy", gauge, "Whether nothing is critical.", nil}
	problems = &metric{"problems", gauge, "What needs a person, or soon will.", []string{"severity"}}
)
