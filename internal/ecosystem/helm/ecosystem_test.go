package helm_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/helm"
)

// example knows a repository of its own, so that the cases name no public host.
func example() *helm.Ecosystem {
	return helm.New(helm.Options{Hosts: []string{"charts.example"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }

func TestVersion(t *testing.T) {
	for file, want := range map[string]string{
		"pad-1.2.3.tgz":                "pad 1.2.3",
		"kube-prom-stack-65.1.0.tgz":   "kube-prom-stack 65.1.0",
		"cert-manager-v1.2.0-rc.1.tgz": "cert-manager v1.2.0-rc.1",
		"k8s-2.0.0+up1.tgz":            "k8s 2.0.0+up1",
		"pad.tgz":                      "pad ",
		"-1.tgz":                       "-1 ",
	} {
		u := &url.URL{Scheme: "https", Host: "charts.example", Path: "/" + file}
		res, err := example().Classify(ecosystem.Request{Method: "GET", URL: u})
		if got := res.Package + " " + res.Version; err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", file, got, err, want)
		}
	}
}

// TestShow checks that versions that may not be shown are left out, and nothing else.
func TestShow(t *testing.T) {
	const text = "apiVersion: v1\nentries:\n  pad:\n    - version: 2.0.0\n      created: 2026-02-01T00:00:00Z\n      urls: [pad-2.0.0.tgz]\n" +
		"    - version: 1.0.0\n      created: \"2026-01-01T00:00:00Z\"\n      urls: [pad-1.0.0.tgz]\n  # none\n  other: []\n"
	e := example()
	u := &url.URL{Scheme: "https", Host: "charts.example", Path: "/index.yaml"}
	res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = e.View(&b, ecosystem.Body{Resource: res, ReaderAt: strings.NewReader(text), Size: int64(len(text))}, ecosystem.View{
		Show: func(_ string, at time.Time) bool { return at.Before(time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)) },
	})
	if got := b.String(); err != nil || strings.Contains(got, "2.0.0") || !strings.Contains(got, "pad-1.0.0.tgz") || !strings.Contains(got, "other: []") {
		t.Errorf("View = %v\n%s", err, got)
	}
}
