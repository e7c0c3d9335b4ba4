package ecosystemtest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
)

// faultVariable names the fault that the toy has in a process of its own.
const faultVariable = "ECOSYSTEMTEST_FAULT"

// A toy is an ecosystem of which each line of a document claims "PATH DIGEST". It keeps
// the contract, but for the fault it is given.
type toy struct {
	fault string
	calls *atomic.Int64
}

func (y toy) Profile() ecosystem.Profile {
	p := ecosystem.Profile{
		Name: "toy", Title: "Toy", Verified: "nothing",
		Hosts:  []string{"toy.example"},
		Mounts: []ecosystem.Mount{{Path: "/toy/", Origin: "https://toy.example/"}},
		Env:    []ecosystem.Setting{{Name: "TOY", Value: "{native}/toy"}},
	}
	switch y.fault {
	case "host in upper case":
		p.Hosts[0] = "Toy.example"
	case "mount without slash":
		p.Mounts[0].Path = "/toy"
	case "unknown placeholder":
		p.Env[0].Value = "{port}"
	case "file that differs from build to build":
		p.Files = []ecosystem.File{{Name: "toy.conf", Content: "{proxy}"}}
	}
	return p
}

func (y toy) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	if r.URL == nil || r.URL.Host == "" || r.URL.Scheme != "https" || r.URL.RawQuery != "" && y.fault != "not idempotent" {
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	}
	p := r.URL.EscapedPath()
	if strings.ContainsAny(p, `%\`) || strings.Contains(p+"/", "/../") && y.fault != "climbs" || !strings.HasPrefix(p, "/doc/") {
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	}
	if r.Method != "GET" && r.Method != "HEAD" && y.fault != "takes uploads" {
		return ecosystem.Resource{}, ecosystem.ErrRefused
	}
	res := ecosystem.Resource{Ecosystem: "toy", URL: "https://toy.example" + p, Kind: ecosystem.Document, Sealed: true, Floor: time.Minute}
	switch y.fault {
	case "leaves the origin":
		res.URL = "https://other.example" + p
	case "not the same twice":
		res.Version = fmt.Sprint(y.calls.Add(1))
	case "not idempotent":
		res.URL += "x"
	case "credential":
		res.Scope = "me"
	case "repository elsewhere":
		res.Repository = "https://toy.example/other/"
	case "root without floor":
		res.Root, res.Floor = true, 0
	}
	return res, nil
}

func (y toy) Inspect(_ context.Context, doc ecosystem.Body, _ ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	s := bufio.NewScanner(doc.Reader())
	for s.Scan() {
		path, sum, ok := strings.Cut(s.Text(), " ")
		if !ok {
			return ecosystem.Evidence{}, fmt.Errorf("%w: %q", ecosystem.ErrInvalid, s.Text())
		}
		c := ecosystem.Claim{URL: "https://toy.example" + path, Digest: digest.Digest(sum), Size: -1}
		switch y.fault {
		case "claims elsewhere":
			c.URL = "https://other.example" + path
		case "claims what nobody asks for":
			c.URL = "https://toy.example:443" + path
		case "claims no digest":
			c.Digest = "sha256:x"
		case "says who claims":
			c.By = "me"
		}
		if err := emit(c); err != nil && y.fault != "swallows errors" {
			return ecosystem.Evidence{}, err
		}
	}
	if y.fault == "swallows read errors" {
		return ecosystem.Evidence{}, nil
	}
	return ecosystem.Evidence{}, s.Err()
}

func (y toy) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	if y.fault == "changes what is sealed" {
		_, err := io.WriteString(w, "changed")
		return err
	}
	_, err := io.Copy(w, doc.Reader())
	return err
}

// TestRun checks that the suite accepts an ecosystem that keeps its contract.
func TestRun(t *testing.T) {
	ecosystemtest.Run(t, toy{fault: os.Getenv(faultVariable), calls: new(atomic.Int64)})
}

// TestFaults checks that the suite finds each fault, by running it in a process of its own.
func TestFaults(t *testing.T) {
	if os.Getenv(faultVariable) != "" {
		t.Skip("this is such a process")
	}
	for _, fault := range []string{
		"host in upper case", "mount without slash", "unknown placeholder", "file that differs from build to build",
		"leaves the origin", "not the same twice", "not idempotent", "climbs", "takes uploads", "credential", "repository elsewhere",
		"root without floor", "claims elsewhere", "claims what nobody asks for", "claims no digest", "says who claims",
		"swallows errors", "swallows read errors", "changes what is sealed",
	} {
		t.Run(fault, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRun$")
			cmd.Env = append(os.Environ(), faultVariable+"="+fault)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestRun") {
				t.Errorf("the suite did not find this fault: %v\n%s", err, out)
			}
		})
	}
}
