package control

import (
	"context"
	"net/http/httptest"
	"os"
	"reflect"
	"testing"
	"time"

	"redis-cert-agent/agent/notify"
)

func TestControlTestNotify(t *testing.T) {
	want := []notify.Result{{Target: "slack", Took: 3 * time.Millisecond}, {Target: "command", Error: "exit status 1"}}
	path, _ := serve(t, Handlers{TestNotify: func(context.Context) []notify.Result { return want }})
	got, err := Dial(path).TestNotify(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	want = nil
	if got, err := Dial(path).TestNotify(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// Messages in the name of this host are for root and the agent's own user.
func TestOthersDoNotTestNotify(t *testing.T) {
	asked := false
	h := Handlers{TestNotify: func(context.Context) []notify.Result {
		asked = true
		return nil
	}}.mux()
	own := uint32(os.Geteuid())
	for _, c := range []struct {
		method string
		uid    uint32
		want   int
	}{{"POST", own + 1, 403}, {"GET", own, 405}, {"POST", own, 200}} {
		asked = false
		r := httptest.NewRequest(c.method, "/notify", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, c.uid)))
		if w.Code != c.want || asked != (c.want == 200) {
			t.Errorf("%+v: %d, asked %v", c, w.Code, asked)
		}
	}
}
