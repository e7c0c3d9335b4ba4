package pub_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/pub"
)

// example knows repositories of its own, so that the cases name no public host.
func example() *pub.Ecosystem {
	return pub.New(pub.Options{Hosts: []string{"pub.example", "git.example/api/packages/acme/pub"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }

// TestShow checks what is left of a list as of a day.
func TestShow(t *testing.T) {
	const one = `{"archive_url":"a","published":"2026-01-01T00:00:00Z","version":"1.0.0"}`
	const pre = `{"archive_url":"b","published":"2026-02-01T00:00:00.5Z","version":"2.0.0-dev.1"}`
	const two = `{"archive_url":"c","published":"2026-03-01T00:00:00Z","version":"2.0.0"}`
	const text = `{"name":"left_pad","latest":` + two + `,"versions":[` + one + `,` + pre + `,` + two + `]}`
	e := example()
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "pub.example", Path: "/api/packages/left_pad"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ day, want string }{
		{"2026-04-01", `{"latest":` + two + `,"name":"left_pad","versions":[` + one + `,` + pre + `,` + two + `]}`},
		{"2026-02-15", `{"latest":` + one + `,"name":"left_pad","versions":[` + one + `,` + pre + `]}`},
		{"2025-01-01", `{"name":"left_pad","versions":[]}`},
	} {
		cut, err := time.Parse(time.DateOnly, tt.day)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		err = e.View(&b, ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(text), Size: int64(len(text))},
			ecosystem.View{Show: func(_ string, at time.Time) bool { return at.Before(cut) }})
		if got := strings.TrimSpace(b.String()); err != nil || got != tt.want {
			t.Errorf("as of %s: %v\n%s\nwant\n%s", tt.day, err, got, tt.want)
		}
	}
}
