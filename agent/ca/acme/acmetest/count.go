package acmetest

import (
	"net/http"
	"path"
	"strings"
)

// Counts is what a client has cost a CA.
type Counts struct {
	Accounts     int // that were made
	Orders       int // that were made
	Open         int // orders that are neither finished nor failed
	Certificates int // orders that ended with one
	Failed       int // names that were looked for and not proved
}

// Plus returns the sum of both.
func (c Counts) Plus(d Counts) Counts {
	return Counts{c.Accounts + d.Accounts, c.Orders + d.Orders, c.Open + d.Open, c.Certificates + d.Certificates, c.Failed + d.Failed}
}

// counted notes which accounts and orders h makes.
func (p *Pebble) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noted := &noting{ResponseWriter: w}
		h.ServeHTTP(noted, r)
		if noted.status != http.StatusCreated {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		switch r.URL.Path {
		case "/sign-me-up":
			p.accounts++
		case "/order-plz":
			p.orders = append(p.orders, path.Base(w.Header().Get("Location")))
		}
	})
}

// noting is a ResponseWriter that keeps the status.
type noting struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (n *noting) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

// Counts returns what was done so far.
func (p *Pebble) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := Counts{Accounts: p.accounts, Orders: len(p.orders)}
	seen := map[string]bool{}
	for _, id := range p.orders {
		order := p.store.GetOrderByID(id)
		switch status, err := order.GetStatus(); {
		case err != nil || status == "invalid":
		case status == "valid":
			c.Certificates++
		default:
			c.Open++
		}
		for _, url := range order.Authorizations {
			authorization := p.store.GetAuthorizationByID(url[strings.LastIndex(url, "/")+1:])
			if authorization == nil || seen[authorization.ID] {
				continue
			}
			seen[authorization.ID] = true
			authorization.RLock()
			if authorization.Status == "invalid" {
				c.Failed++
			}
			authorization.RUnlock()
		}
	}
	return c
}
