package control

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"redis-cert-agent/agent/status"
)

// What happens is told as it happens, and what came of it last, with the error beside.
func TestControlRotate(t *testing.T) {
	asked := Rotate{Pair: "exporter", Reason: 4, RevokeFirst: true}
	done := []status.Rotation{{Pair: "exporter", Serial: "7e", NotAfter: notAfter, Done: true, Revoked: []string{"6d"}, Destroyed: 2}}
	told := make(chan struct{})
	var fails error
	path, _ := serve(t, Handlers{Rotate: func(_ context.Context, r Rotate, say func(string)) ([]status.Rotation, error) {
		if r != asked {
			t.Errorf("asked for %+v, want %+v", r, asked)
		}
		say("issued")
		<-told // the first line has come before the second is said
		say("revoked")
		return done, fails
	}})
	for _, fails = range []error{nil, errors.New("not all is done: 127.0.0.1:6379 is not reached")} {
		var lines []string
		told = make(chan struct{})
		got, err := Dial(path).Rotate(t.Context(), asked, func(text string) {
			if lines = append(lines, text); len(lines) == 1 {
				close(told)
			}
		})
		if !reflect.DeepEqual(got, done) || (err == nil) != (fails == nil) || err != nil && err.Error() != fails.Error() {
			t.Errorf("%+v, %v", got, err)
		}
		if !reflect.DeepEqual(lines, []string{"issued", "revoked"}) {
			t.Errorf("told %q", lines)
		}
	}
}

// An agent that ends meanwhile is no answer, and who asked knows that it goes on.
func TestControlRotateIsCutOff(t *testing.T) {
	var stop func()
	path, stop := serve(t, Handlers{Rotate: func(ctx context.Context, _ Rotate, say func(string)) ([]status.Rotation, error) {
		go stop()
		<-ctx.Done()
		return nil, errors.New("the agent is stopping")
	}})
	if _, err := Dial(path).Rotate(t.Context(), Rotate{}, func(string) {}); err == nil {
		t.Error("an agent that ended has rotated")
	}
}
