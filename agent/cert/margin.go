package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"redis-cert-agent/agent/option"
)

// A Margin is how long before the end of a certificate's life something is
// due: a share of its lifetime, a time, or whichever of both is less. Both suit
// certificates of a day and of ten years.
type Margin struct {
	Share float64       // of the lifetime, 0.25 is 25 %; 0: no matter
	Time  time.Duration // 0: no matter
}

// Margins say when the end of a certificate is a warning, and when it is
// critical.
type Margins struct{ Warn, Crit Margin }

const day = 24 * time.Hour

// DefaultMargins returns what holds where nothing is said.
func DefaultMargins() Margins {
	return Margins{Warn: Margin{Share: 0.25, Time: 21 * day}, Crit: Margin{Share: 0.10, Time: 7 * day}}
}

// Faults tells what cannot work. Each margin is what [ParseMargin] returned.
func (m Margins) Faults(r option.Report) {
	if m.Crit.Share > m.Warn.Share && m.Warn.Share > 0 || m.Crit.Time > m.Warn.Time && m.Warn.Time > 0 {
		r.Fault("crit", "%s begins before warn, which is %s; write less", option.Quote(m.Crit.String()), m.Warn)
	}
}

// ParseMargin takes "25%", "21d", or both as "25%,21d". Its error follows the
// quoted text in a message.
func ParseMargin(s string) (Margin, error) {
	bad := errors.New(`says no time before the end; write a share of the lifetime, a time, or both: 25%, 21d, "25%,21d"`)
	var m Margin
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if strings.HasSuffix(part, "%") {
			share, err := option.ParsePercent(part)
			if err != nil || m.Share != 0 || share <= 0 || share >= 1 {
				return Margin{}, bad
			}
			m.Share = share
			continue
		}
		d, err := option.ParseDuration(part)
		if err != nil || m.Time != 0 || d <= 0 {
			return Margin{}, bad
		}
		m.Time = d
	}
	return m, nil
}

// String writes the margin as ParseMargin takes it.
func (m Margin) String() string {
	var parts []string
	if m.Share != 0 {
		parts = append(parts, strconv.FormatFloat(m.Share*100, 'g', -1, 64)+"%")
	}
	if m.Time != 0 && m.Time%day == 0 {
		parts = append(parts, fmt.Sprintf("%dd", m.Time/day))
	} else if m.Time != 0 {
		parts = append(parts, m.Time.String())
	}
	return strings.Join(parts, ",")
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
