package main

import (
	"net"
	"os"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// A systemdSocket stands in for systemd (sd_notify(3)): it writes every message
// to a file, one a line, with " | " for the newlines in it, and tells whether
// there was a pair when READY came.
type systemdSocket struct {
	conn    *net.UnixConn
	running sync.WaitGroup
}

// cmdSystemd makes the program believe that systemd started it, and with a number
// of microseconds that systemd's watchdog watches it. What systemd is told is in
// systemd.log:
//
//	systemd [USEC]
func (s *host) cmdSystemd(ts *testscript.TestScript, args []string) error {
	socket := s.path(".notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	log, err := os.Create(s.path("systemd.log"))
	if err != nil {
		conn.Close()
		return err
	}
	n := &systemdSocket{conn: conn}
	n.running.Go(func() {
		defer log.Close()
		buf := make([]byte, 64<<10)
		for {
			k, err := conn.Read(buf)
			if err != nil {
				return // closed
			}
			line := strings.ReplaceAll(string(buf[:k]), "\n", " | ")
			if _, err := os.Stat(s.path("pair/current/redis.crt")); line == "READY=1" && err != nil {
				line += " without a pair"
			}
			_, _ = log.WriteString(line + "\n")
		}
	})
	s.systemd = n
	ts.Defer(func() {
		conn.Close()
		n.running.Wait()
	})
	ts.Setenv("NOTIFY_SOCKET", socket)
	if len(args) > 0 {
		ts.Setenv("WATCHDOG_USEC", args[0])
	}
	return nil
}
