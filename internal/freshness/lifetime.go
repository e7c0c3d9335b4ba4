package freshness

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/cachecontrol/cacheobject"
)

const (
	// maxLifetime bounds what an origin says: nothing mutable is fresh for more than a year.
	maxLifetime = 365 * 24 * time.Hour
	// maxHeuristic bounds the guess for origins that say nothing. It is the upper end of
	// what registries themselves say of their indexes: a guess must not hide an update
	// for longer than a statement would.
	maxHeuristic = 5 * time.Minute
	// heuristicShare is the part of a document's age for which it is guessed to stay as it
	// is (RFC 9111, section 4.2.2, names 10 %).
	heuristicShare = 10
)

// Lifetime returns how long an answer with these header fields is fresh from now on, by
// RFC 9111 for a shared cache, and whether it must not be stored for others (no-store,
// private, Vary: *, or a cookie is set). The lifetime is never negative and at most a year;
// it is 0 if the origin asks for revalidation each time, or if its Cache-Control field
// cannot be parsed.
//
// Only differences between times of the origin's own clock are used, and the Age field,
// so neither a wrong clock there nor one here makes anything stale or fresh for ever;
// now is needed only for origins that send no Date.
func Lifetime(h http.Header, now time.Time) (lifetime time.Duration, noStore bool) {
	value := strings.Join(h.Values("Cache-Control"), ", ")
	cc, err := cacheobject.ParseResponseCacheControl(value)
	noStore = len(h.Values("Set-Cookie")) > 0 || variesOnAll(h)
	if err != nil {
		return 0, noStore || forbids(value)
	}
	// The parser takes what follows an unquoted field list to be part of it, so a
	// no-store that is hidden there is looked for too.
	noStore = noStore || cc.NoStore || cc.PrivatePresent || cc.NoCachePresent && forbids(value)
	if noStore || cc.NoCachePresent {
		return 0, noStore
	}
	date, hasDate := parseTime(h.Get("Date"))
	if !hasDate {
		date = now
	}
	// Clamped before age is taken off: a date in the year 0 is a difference that overflows.
	total := min(max(0, explicit(cc, h, date)), maxLifetime)
	return max(0, total-age(h)), false
}

// explicit returns the lifetime counted from the moment the origin made the answer: what
// it says, else a guess.
func explicit(cc *cacheobject.ResponseCacheDirectives, h http.Header, date time.Time) time.Duration {
	switch {
	case cc.SMaxAge >= 0:
		return time.Duration(cc.SMaxAge) * time.Second
	case cc.MaxAge >= 0:
		return time.Duration(cc.MaxAge) * time.Second
	case len(h.Values("Expires")) > 0:
		// Anything that is no date ("0", "-1") means: already expired.
		expires, ok := parseTime(h.Get("Expires"))
		if !ok {
			return 0
		}
		return expires.Sub(date)
	}
	modified, ok := parseTime(h.Get("Last-Modified"))
	if !ok {
		return 0
	}
	return max(0, min(date.Sub(modified)/heuristicShare, maxHeuristic))
}

// age returns how long caches before us kept the answer. What is no number counts as
// nothing; of a list the first member counts.
func age(h http.Header) time.Duration {
	first, _, _ := strings.Cut(h.Get("Age"), ",")
	first = strings.TrimSpace(first)
	if first == "" || strings.Trim(first, "0123456789") != "" {
		return 0
	}
	s, err := strconv.ParseInt(first, 10, 64)
	if err != nil || s > int64(maxLifetime/time.Second) {
		return maxLifetime // too large to count: older than anything is fresh
	}
	return time.Duration(s) * time.Second
}

// forbids reports whether a Cache-Control field that was not understood mentions a
// directive that forbids sharing. It errs on the side of not sharing.
func forbids(cacheControl string) bool {
	s := strings.ToLower(cacheControl)
	return strings.Contains(s, "no-store") || strings.Contains(s, "private")
}

// variesOnAll reports whether no request can ever be answered by this answer again.
func variesOnAll(h http.Header) bool {
	for _, v := range h.Values("Vary") {
		for f := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(f) == "*" {
				return true
			}
		}
	}
	return false
}

// parseTime reads an HTTP date in any of its three forms.
func parseTime(s string) (time.Time, bool) {
	t, err := http.ParseTime(s)
	return t, err == nil
}
