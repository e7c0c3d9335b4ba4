package engine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sutler/internal/engine"
	"sutler/internal/policy"
	"sutler/internal/upstream"
)

// TestStrictBuild refuses a strict build what nobody vouches for, stored or not, and
// serves it to others.
func TestStrictBuild(t *testing.T) {
	b := newBench(t, map[string]string{"open/a": "body", "open/b": "fresh", "pack/x": "signer k\n"}, policy.Rules{})
	strict := func(path string) (engine.Outcome, error) {
		req := b.request(path)
		req.Strict = true
		_, o, err := b.do(req)
		return o, err
	}
	b.want("open/a", "body", engine.Miss)
	for _, path := range []string{"open/a", "open/b"} {
		if o, err := strict(path); !errors.Is(err, policy.ErrRefused) || o != engine.Refused {
			t.Errorf("%s for a strict build: %s, %v; want refused", path, o, err)
		}
		if l := b.lines.last(); l.Outcome != "refused" {
			t.Errorf("%s: line %+v", path, l)
		}
	}
	if o, err := strict("pack/x"); err != nil || o != engine.Miss {
		t.Errorf("signed document for a strict build: %s, %v", o, err)
	}
	b.want("open/a", "body", engine.Hit)
}

// TestStrictRulesHoldForWhatIsStored refuses under strict rules what came by lenient ones.
func TestStrictRulesHoldForWhatIsStored(t *testing.T) {
	b := newBench(t, map[string]string{"open/a": "body"}, policy.Rules{})
	b.want("open/a", "body", engine.Miss)
	b.start(policy.Rules{Strict: true})
	if _, o, err := b.get("open/a"); !errors.Is(err, policy.ErrRefused) {
		t.Errorf("get = %s, %v; want refused", o, err)
	}
}

// TestOfflineBuild serves an offline build what is stored, however old, asks no origin for
// it, and leaves others as they were.
func TestOfflineBuild(t *testing.T) {
	tarball := "claim pack/x/-/x.tgz " + string(sum("tarball")) + "\n"
	b := newBench(t, map[string]string{"pack/x": tarball, "pack/x/-/x.tgz": "tarball", "open/a": "body"}, policy.Rules{})
	offline := func(path string) (engine.Outcome, error) {
		req := b.request(path)
		req.Offline = true
		_, o, err := b.do(req)
		return o, err
	}
	b.want("pack/x", tarball, engine.Miss)
	b.sleep(1000 * time.Hour)
	asked := len(b.origin.calls)
	if o, err := offline("pack/x"); err != nil || o != engine.Stale {
		t.Errorf("stored: %s, %v; want stale", o, err)
	}
	for _, path := range []string{"open/a", "pack/x/-/x.tgz"} {
		if o, err := offline(path); !errors.Is(err, upstream.ErrOffline) || o != engine.Error {
			t.Errorf("%s: %s, %v; want an error: offline", path, o, err)
		}
	}
	if n := len(b.origin.calls); n != asked {
		t.Errorf("the origin was asked for %v", b.origin.calls[asked:])
	}
	if len(b.trouble) > 0 {
		t.Errorf("trouble: %v", b.trouble)
	}
	b.want("pack/x", tarball, engine.Revalidated)
	b.want("open/a", "body", engine.Miss)
}

// TestOfflineBuildBesideAnother does not end the one's fetch as it ends the other's.
func TestOfflineBuildBesideAnother(t *testing.T) {
	b := newBench(t, map[string]string{"open/a": "body"}, policy.Rules{})
	began, goOn := make(chan struct{}), make(chan struct{})
	b.origin.hook = func(string) { close(began); <-goOn }
	done := make(chan error, 1)
	go func() {
		a, err := b.Serve(context.Background(), b.request("open/a"))
		if err == nil {
			a.Close()
		}
		done <- err
	}()
	<-began
	req := b.request("open/a")
	req.Offline = true
	if _, _, err := b.do(req); !errors.Is(err, upstream.ErrOffline) {
		t.Errorf("offline: %v", err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Errorf("the other: %v", err)
	}
}
