package cert

import (
	"crypto/x509"
	"time"
)

// A Margin is how long before the end of a certificate's life something is
// due: a share of its lifetime, a time, or whichever of both is less. Both suit
// certificates of a day and of ten years.
type Margin struct {
	Share float64       // of the lifetime, 0.25 is 25 %; 0: no matter
	Time  time.Duration // 0: no matter
}

// Of returns the margin of c, which is not negative.
func (m Margin) Of(c *x509.Certificate) time.Duration {
	share := time.Duration(m.Share * float64(c.NotAfter.Sub(c.NotBefore)))
	switch {
	case m.Time <= 0:
		return max(share, 0)
	case m.Share <= 0:
		return m.Time
	}
	return max(min(share, m.Time), 0)
}

// Start returns when the margin before the end of c begins.
func (m Margin) Start(c *x509.Certificate) time.Time { return c.NotAfter.Add(-m.Of(c)) }
