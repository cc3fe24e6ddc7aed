package cert

import (
	"crypto/x509"
	"testing"
	"time"
)

func TestMargin(t *testing.T) {
	const day = 24 * time.Hour
	both := Margin{Share: 0.25, Time: 21 * day}
	for _, c := range []struct {
		margin   Margin
		lifetime time.Duration
		want     time.Duration
	}{
		{both, day, 6 * time.Hour},
		{both, 90 * day, 21 * day},
		{both, 3650 * day, 21 * day},
		{Margin{Share: 0.25}, 400 * day, 100 * day},
		{Margin{Time: 21 * day}, day, 21 * day},
		{Margin{}, day, 0},
		{both, -day, 0}, // a certificate that ends before it begins
	} {
		begin := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
		x := &x509.Certificate{NotBefore: begin, NotAfter: begin.Add(c.lifetime)}
		if got := c.margin.Of(x); got != c.want {
			t.Errorf("%+v of %s: %s, want %s", c.margin, c.lifetime, got, c.want)
		}
		if got := c.margin.Start(x); !got.Equal(x.NotAfter.Add(-c.want)) {
			t.Errorf("%+v of %s starts at %s", c.margin, c.lifetime, got)
		}
	}
}
