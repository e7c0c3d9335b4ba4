package upstream

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error says which URL, and what the origin answered.
func (e *StatusError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("%s: %s, retry after %s", e.URL, statusText(e.Status), e.RetryAfter)
	}
	return fmt.Sprintf("%s: %s", e.URL, statusText(e.Status))
}

// Is makes e one of ErrNotFound, ErrForbidden, ErrUnavailable and ErrInvalid.
func (e *StatusError) Is(target error) bool { return target == kindOf(e.Status) }

// kindOf maps a status that is no success to the decision it stands for.
func kindOf(status int) error {
	switch {
	case status == http.StatusNotFound, status == http.StatusGone:
		return ErrNotFound
	case status >= 500,
		status == http.StatusTooManyRequests,
		status == http.StatusRequestTimeout,
		status == http.StatusTooEarly,
		status == http.StatusMisdirectedRequest,
		status == http.StatusProxyAuthRequired: // the proxy on the way, not the origin
		return ErrUnavailable
	case status >= 400:
		return ErrForbidden
	}
	return ErrInvalid // a success or redirect that answers no plain GET
}

// statusText returns the number and its standard name. The origin's own phrase is not
// repeated: it could hold anything.
func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// retryAfter reads a Retry-After field: seconds or a date. It is 0 for what is neither,
// and at most a day.
func retryAfter(field string, now time.Time) time.Duration {
	const most = 24 * time.Hour
	field = strings.TrimSpace(field)
	if field != "" && strings.Trim(field, "0123456789") == "" {
		s, err := strconv.ParseInt(field, 10, 64)
		if err != nil || s > int64(most/time.Second) {
			return most // digits that do not fit are a very long time
		}
		return time.Duration(s) * time.Second
	}
	at, err := http.ParseTime(field)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), most)
}

// A span is a Content-Range field: bytes first-last/total.
type span struct{ first, last, total int64 } // total is -1 if "*"

// parseContentRange reads a Content-Range field of a 206. It accepts one range of bytes
// whose numbers do not contradict each other.
func parseContentRange(field string) (span, bool) {
	unit, rest, _ := strings.Cut(strings.TrimSpace(field), " ")
	if !strings.EqualFold(unit, "bytes") {
		return span{}, false
	}
	ends, size, ok1 := strings.Cut(strings.TrimSpace(rest), "/")
	from, to, ok2 := strings.Cut(ends, "-")
	first, ok3 := parseCount(from)
	last, ok4 := parseCount(to)
	if !ok1 || !ok2 || !ok3 || !ok4 || last < first {
		return span{}, false
	}
	if size == "*" {
		return span{first, last, -1}, true
	}
	total, ok := parseCount(size)
	if !ok || last >= total {
		return span{}, false
	}
	return span{first, last, total}, true
}

// parseCount reads a number of bytes: digits only, no sign.
func parseCount(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
