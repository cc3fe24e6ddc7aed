package cert

import (
	"crypto/x509"
	"time"
)

// Turns returns the times at which it changes whether a certificate of chain is
// valid. A chain that was valid at some time, all of it together, was so at one of
// them, because that time begins with the NotBefore of one certificate and ends
// with the NotAfter of one. Only the first certificates of a long chain count:
// nobody but an attacker makes one.
func Turns(chain []*x509.Certificate) []time.Time {
	const most = 9
	var times []time.Time
	for _, c := range chain[:min(len(chain), most)] {
		times = append(times, c.NotBefore, c.NotAfter)
	}
	return times
}
