package acmetest

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
)

// stages makes what a CA has done show bit by bit, as it does at a CA of many machines:
// names that were to be proved become valid one after the other, the order is not ready
// yet when all of them are, and a certificate is being made for a while.
type stages struct {
	mu      sync.Mutex
	pending []string       // authorizations that were shown as pending, in that order
	left    map[string]int // how often more something shows as it was before
}

// before puts the stages in front of h.
func (s *stages) before(h http.Handler) http.Handler {
	s.left = map[string]int{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, id := path.Split(r.URL.Path)
		if kind == "/finalize-order/" && s.early(id) {
			Problem(w, http.StatusForbidden, "orderNotReady", `"detail":"the order is not ready yet"`)
			return
		}
		if kind != "/authZ/" && kind != "/my-order/" {
			h.ServeHTTP(w, r)
			return
		}
		rewrite(h, w, r, func(body []byte) []byte {
			var shown map[string]any
			if json.Unmarshal(body, &shown) != nil {
				return body
			}
			if kind == "/authZ/" {
				s.authorization(id, shown)
			} else {
				s.order(id, shown)
			}
			body, _ = json.Marshal(shown) // it was JSON before
			return body
		})
	})
}

// rewrite lets h answer, and changes what it says where it says yes.
func rewrite(h http.Handler, w http.ResponseWriter, r *http.Request, change func([]byte) []byte) {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	if answer.Code == http.StatusOK {
		body = change(body)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body) // the client may be gone
}

// leafAlone leaves the rest of each chain out.
func leafAlone(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _ := path.Split(r.URL.Path); !strings.HasPrefix(kind, "/certZ/") {
			h.ServeHTTP(w, r)
			return
		}
		rewrite(h, w, r, func(body []byte) []byte {
			first, _ := pem.Decode(body)
			return pem.EncodeToMemory(first)
		})
	})
}

// early says whether the order is to be refused, once.
func (s *stages) early(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, known := s.left["early "+id]
	if !known {
		s.left["early "+id] = 1 // it shows as pending once more
	}
	return !known || n > 0
}

// authorization shows one as pending for longer, and those of one order for different times.
func (s *stages) authorization(id string, shown map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := "name " + id
	switch shown["status"] {
	case "pending":
		if _, known := s.left[key]; !known {
			s.pending = append(s.pending, id)
			s.left[key] = 1 + (len(s.pending)-1)%3
		}
	case "valid":
		if s.left[key] == 0 {
			return
		}
		s.left[key]--
		shown["status"] = "pending"
		challenges, _ := shown["challenges"].([]any)
		for _, c := range challenges {
			if c, ok := c.(map[string]any); ok && c["status"] == "valid" {
				c["status"] = "processing"
				delete(c, "validated")
			}
		}
	}
}

// order shows one as pending after it was refused, and as being processed for a while
// when it is finished.
func (s *stages) order(id string, shown map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.left["early "+id] > 0:
		s.left["early "+id]--
		shown["status"] = "pending"
	case shown["status"] == "valid" && s.left["done "+id] < 2:
		s.left["done "+id]++
		shown["status"] = "processing"
		delete(shown, "certificate")
	}
}
