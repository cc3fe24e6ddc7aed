package plan

import "time"

// AttemptsLeft counts the attempts at a certificate, from the time now on, that come before
// the end of the newest one, if each of them fails at once: how often something can still
// be mended. It is zero without a certificate, and where another program renews.
func AttemptsLeft(now time.Time, f Facts, p Policy) int {
	if f.Newest == nil || f.External {
		return 0
	}
	end, at, failed := f.Newest.end(), later(now, Due(*f.Newest, p)), f.Issue
	if next := later(failed.retry(now, f.Newest, asking(f.Newest)), f.Hold); !now.Before(at) {
		at = later(at, next)
	}
	n := 0
	for ; at.Before(end) && n < maxAttempts; n++ {
		failed = Attempts{Failed: failed.Failed + 1, Last: at}
		at = failed.retry(at, f.Newest, asking(f.Newest))
	}
	return n
}

// maxAttempts bounds the count: a host has mended itself by then, or nobody looks.
const maxAttempts = 10000
