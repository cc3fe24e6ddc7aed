package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// An order for the servers' pair ends that of a client's pair, begins when that has ended,
// and keeps another from beginning; one that does not end is not waited for for ever.
func TestOrdersForServersGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		second, ended := turns.goSecond(t.Context())
		if second.Err() != nil {
			t.Fatal("a client's order does not begin although none runs")
		}
		begun := make(chan func())
		go func() { begun <- turns.goFirst() }()
		synctest.Wait()
		if context.Cause(second) != errGivesWay {
			t.Errorf("the client's order goes on: %v", context.Cause(second))
		}
		select {
		case <-begun:
			t.Error("the order for the servers begins while the other still has the port")
		default:
		}
		ended()
		first := <-begun

		third, ended := turns.goSecond(t.Context())
		if context.Cause(third) != errGivesWay {
			t.Error("a client's order begins while one for the servers runs")
		}
		ended()
		first()
		fourth, _ := turns.goSecond(t.Context())
		if fourth.Err() != nil {
			t.Error("a client's order does not begin after that for the servers")
		}
		start := time.Now() // the fourth never ends
		turns.goFirst()()
		if waited := time.Since(start); waited != leaving {
			t.Errorf("the order for the servers waited for %v", waited)
		}
	})
}
