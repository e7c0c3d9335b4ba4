package freshness

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	minute := State{Stored: true, Checked: t0, Lifetime: time.Minute}
	for _, tt := range []struct {
		name  string
		state State
		after time.Duration
		want  Action
	}{
		{"nothing stored", State{}, 0, Fetch},
		{"nothing stored, immutable", State{Immutable: true}, 0, Fetch},
		{"fresh document", minute, 59 * time.Second, Serve},
		{"document at its last moment", minute, 60 * time.Second, Revalidate},
		{"stale document", minute, 61 * time.Second, Revalidate},
		{"no lifetime", State{Stored: true, Checked: t0}, 0, Revalidate},
		{"old artifact", State{Stored: true, Immutable: true}, 10000 * time.Hour, Serve},
		{"clock a little back", minute, -time.Minute, Serve},
		{"clock far back", minute, -time.Minute - 1, Revalidate},
		{"clock ten years back", minute, -87600 * time.Hour, Revalidate},
		{"clock ten years ahead", minute, 87600 * time.Hour, Revalidate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.state.Decide(t0.Add(tt.after)); got != tt.want {
				t.Errorf("Decide = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestUsable(t *testing.T) {
	s := State{Stored: true, Checked: t0, Lifetime: time.Minute, Grace: time.Hour}
	for _, tt := range []struct {
		name  string
		state State
		after time.Duration
		want  bool
	}{
		{"nothing stored", State{Grace: time.Hour}, 0, false},
		{"fresh", s, 0, true},
		{"within grace", s, time.Hour + 59*time.Second, true},
		{"past grace", s, time.Hour + time.Minute, false},
		{"no grace", State{Stored: true, Checked: t0, Lifetime: time.Minute}, time.Minute, false},
		{"artifact", State{Stored: true, Immutable: true}, 10000 * time.Hour, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.state.Usable(t0.Add(tt.after)); got != tt.want {
				t.Errorf("Usable = %v, want %v", got, tt.want)
			}
		})
	}
}

// at writes a time that is d after t0 as an HTTP date.
func at(d time.Duration) string { return t0.Add(d).Format(http.TimeFormat) }

func TestLifetime(t *testing.T) {
	const year, decade = 365 * 24 * time.Hour, 87600 * time.Hour
	for _, tt := range []struct {
		name    string
		fields  []string // name, value, name, value …
		want    time.Duration
		noStore bool
	}{
		{"nothing said", nil, 0, false},
		{"max-age", []string{"Cache-Control", "max-age=300"}, 300 * time.Second, false},
		{"max-age in capitals, quoted", []string{"Cache-Control", `MAX-AGE="300"`}, 300 * time.Second, false},
		{"s-maxage wins", []string{"Cache-Control", "max-age=300, s-maxage=60"}, time.Minute, false},
		{"s-maxage 0 wins", []string{"Cache-Control", "max-age=300, s-maxage=0"}, 0, false},
		{"two lines", []string{"Cache-Control", "public", "Cache-Control", "max-age=300"}, 300 * time.Second, false},
		{"max-age beats Expires", []string{"Cache-Control", "max-age=300", "Expires", at(-time.Hour)}, 300 * time.Second, false},
		{"age is taken off", []string{"Cache-Control", "max-age=300", "Age", "100"}, 200 * time.Second, false},
		{"older than its lifetime", []string{"Cache-Control", "max-age=300", "Age", "301"}, 0, false},
		{"age is no number", []string{"Cache-Control", "max-age=300", "Age", "soon"}, 300 * time.Second, false},
		{"age is negative", []string{"Cache-Control", "max-age=300", "Age", "-100"}, 300 * time.Second, false},
		{"age is a list", []string{"Cache-Control", "max-age=300", "Age", "100, 7"}, 200 * time.Second, false},
		{"age overflows", []string{"Cache-Control", "max-age=300", "Age", "99999999999999999999"}, 0, false},
		{"ten years are one", []string{"Cache-Control", "max-age=315360000, immutable"}, year, false},
		{"max-age overflows", []string{"Cache-Control", "max-age=99999999999999999999"}, year, false},
		{"max-age is no number", []string{"Cache-Control", "max-age=soon"}, 0, false},
		{"max-age is negative", []string{"Cache-Control", "max-age=-1"}, 0, false},
		{"max-age without value", []string{"Cache-Control", "max-age"}, 0, false},
		{"open quote", []string{"Cache-Control", `max-age="300`}, 0, false},
		{"unknown directive", []string{"Cache-Control", "wonder=full, max-age=300"}, 300 * time.Second, false},
		{"directive hidden in quotes", []string{"Cache-Control", `x="max-age=5", max-age=300`}, 300 * time.Second, false},

		{"no-cache", []string{"Cache-Control", "no-cache, max-age=300"}, 0, false},
		{"no-cache for a field", []string{"Cache-Control", `no-cache="X-A", max-age=300`}, 0, false},
		{"no-store", []string{"Cache-Control", "no-store, max-age=300"}, 0, true},
		{"no-store after a field list", []string{"Cache-Control", "no-cache=x-a,no-store"}, 0, true},
		{"no-store in a broken field", []string{"Cache-Control", `no-store, max-age="3`}, 0, true},
		{"private", []string{"Cache-Control", "private, max-age=300"}, 0, true},
		{"private for a field", []string{"Cache-Control", `private="x-a", max-age=300`}, 0, true},
		{"private in a broken field", []string{"Cache-Control", "Private, max-age"}, 0, true},
		{"cookie", []string{"Cache-Control", "max-age=300", "Set-Cookie", "a=b"}, 0, true},
		{"vary on all", []string{"Cache-Control", "max-age=300", "Vary", "Accept, *"}, 0, true},
		{"vary on one", []string{"Cache-Control", "max-age=300", "Vary", "Accept"}, 300 * time.Second, false},

		{"expires", []string{"Date", at(0), "Expires", at(time.Hour)}, time.Hour, false},
		{"expires without date", []string{"Expires", at(time.Hour)}, time.Hour, false},
		{"expires in the past", []string{"Date", at(0), "Expires", at(-time.Hour)}, 0, false},
		{"expires 0", []string{"Date", at(0), "Expires", "0", "Last-Modified", at(-year)}, 0, false},
		{"expires, origin's clock ten years ahead", []string{"Date", at(decade), "Expires", at(decade + time.Hour)}, time.Hour, false},
		{"expires, origin's clock ten years behind", []string{"Date", at(-decade), "Expires", at(-decade + time.Hour)}, time.Hour, false},
		{"expires in ten years", []string{"Date", at(0), "Expires", at(decade)}, year, false},
		{"max-age, origin's clock ten years behind", []string{"Date", at(-decade), "Cache-Control", "max-age=300"}, 300 * time.Second, false},

		{"heuristic", []string{"Date", at(0), "Last-Modified", at(-20 * time.Minute)}, 2 * time.Minute, false},
		{"heuristic is bounded", []string{"Date", at(0), "Last-Modified", at(-year)}, 5 * time.Minute, false},
		{"heuristic, modified in the future", []string{"Date", at(0), "Last-Modified", at(time.Hour)}, 0, false},
		{"heuristic, modified is no date", []string{"Last-Modified", "yesterday"}, 0, false},
		{"heuristic, age", []string{"Date", at(0), "Last-Modified", at(-year), "Age", "240"}, time.Minute, false},
		{"heuristic never beats no-cache", []string{"Cache-Control", "no-cache", "Last-Modified", at(-year)}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for i := 0; i+1 < len(tt.fields); i += 2 {
				h.Add(tt.fields[i], tt.fields[i+1])
			}
			got, noStore := Lifetime(h, t0)
			if got != tt.want || noStore != tt.noStore {
				t.Errorf("Lifetime(%v) = %v, %v, want %v, %v", h, got, noStore, tt.want, tt.noStore)
			}
		})
	}
}

// Whatever an origin says, the lifetime is bounded, and a plain no-store is obeyed
// wherever it stands.
func FuzzLifetime(f *testing.F) {
	f.Add("max-age=300", "10", at(0), at(time.Hour), at(-time.Hour))
	f.Add(`private="a,b`, "-1", "", "0", "")
	f.Add("no-cache=a,no-store", "", "x", "", at(math.MaxInt32*time.Second))
	f.Fuzz(func(t *testing.T, cc, age, date, expires, modified string) {
		h := http.Header{
			"Cache-Control": {cc}, "Age": {age}, "Date": {date},
			"Expires": {expires}, "Last-Modified": {modified},
		}
		got, noStore := Lifetime(h, t0)
		if got < 0 || got > maxLifetime {
			t.Errorf("Lifetime(%v) = %v, out of bounds", h, got)
		}
		if noStore && got != 0 {
			t.Errorf("Lifetime(%v) = %v for what must not be stored", h, got)
		}
		h.Set("Cache-Control", "no-store, "+strings.TrimSpace(cc))
		if _, noStore := Lifetime(h, t0); !noStore {
			t.Errorf("Lifetime(%v) forgot no-store", h)
		}
	})
}
