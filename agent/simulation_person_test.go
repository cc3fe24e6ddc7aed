package agent

import (
	"errors"
	"time"
)

// restart runs another process.
func (s *simulation) restart() {
	if s.process.faults > 0 {
		return
	}
	s.stopAgent()
	s.reasons++ // what was not on disk yet is lost
	s.startAgent(false)
}

// reconfigure has the daemon run an agent for another configuration.
func (s *simulation) reconfigure() {
	s.reasons++
	if s.process.faults > 0 {
		return // it will be read at the start
	}
	s.stopAgent()
	s.startAgent(true)
}

// ask runs `redis-cert-agent renew`. When all is well, it says so.
func (s *simulation) ask(force bool) {
	if s.process.faults > 0 {
		return
	}
	well := s.allWell(s.patience())
	if force {
		s.reasons++
		s.forced++
		s.unrivalled()
	}
	s.asking.Add(1)
	began := time.Now()
	go func(a *Agent) {
		defer s.asking.Done()
		err := a.Renew(s.t.Context(), force)
		time.Sleep(time.Microsecond) // the loop goes on at the same time: its lines come first
		s.mu.Lock()
		defer s.mu.Unlock()
		s.note("renew (force: %t) says: %v", force, err)
		if force {
			s.forced--
		}
		s.forgiven(began)
		if well && s.allWell(s.patience()) && err != nil && !errors.Is(err, ErrStopped) && !s.unseen() {
			s.fail("all is well, and renew says: %v", err)
		}
	}(s.agent)
}

// status runs `redis-cert-agent status`, which has the agent look.
func (s *simulation) status() {
	if s.process.faults > 0 {
		return
	}
	before := s.ofNoUse()
	s.asking.Add(1)
	go func(a *Agent) {
		defer s.asking.Done()
		err := a.Look(s.t.Context())
		shown := s.board.Get()
		time.Sleep(time.Microsecond) // as for renew
		s.mu.Lock()
		defer s.mu.Unlock()
		s.note("status says %d problems (%v)", len(shown.Problems()), err)
		if err == nil && a == s.agent && shown.DiskError == "" { // else no server is recognised, nor asked
			s.checkTold(before, s.ofNoUse(), shown.Problems())
		}
	}(s.agent)
}
