package engine_test

import (
	"context"
	"crypto/sha1" //nolint:gosec // a weak digest is what some tests are about
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"sutler/internal/blob"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/policy"
	"sutler/internal/upstream"
)

// repository returns a signed set: a root dated that day, an index, one file.
func repository(day, file string) map[string]string {
	index := "claim pool/a.deb " + string(sum(file)) + "\n"
	return map[string]string{
		"pool/a.deb": file, "index": index, "by-hash/" + sum(index).Hex(): index,
		"root": "date 2025-12-" + day + "T00:00:00Z\nsigner archive\nclaim index " + string(sum(index)) + " by-hash/" + sum(index).Hex() + "\n",
	}
}

// TestCases is the case table of the architecture, row by row.
func TestCases(t *testing.T) {
	pack := "claim pack/x/-/x.tgz " + string(sum("tarball")) + "\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		rules policy.Rules
		run   func(b *bench)
	}{
		{name: "none stored, then fresh", files: map[string]string{"open/a": "body"}, run: func(b *bench) {
			b.want("open/a", "body", engine.Miss)
			b.want("open/a", "body", engine.Hit)
			b.want("open/a", "body", engine.Hit)
			if n := b.origin.asked("open/a"); n != 1 {
				b.t.Errorf("%d fetches, want 1", n)
			}
		}},
		{name: "artifact never goes stale", files: map[string]string{"open/a": "body"}, run: func(b *bench) {
			b.want("open/a", "body", engine.Miss)
			b.sleep(10_000 * time.Hour)
			b.want("open/a", "body", engine.Hit)
		}},
		{name: "stale, origin says 304", files: map[string]string{"pack/x": pack}, run: func(b *bench) {
			b.want("pack/x", pack, engine.Miss)
			b.want("pack/x", pack, engine.Hit)
			b.sleep(time.Hour)
			b.want("pack/x", pack, engine.Revalidated)
			b.want("pack/x", pack, engine.Hit)
		}},
		{name: "stale, changed", files: map[string]string{"pack/x": pack}, run: func(b *bench) {
			b.want("pack/x", pack, engine.Miss)
			b.sleep(time.Hour)
			b.origin.set("pack/x", "new")
			b.want("pack/x", "new", engine.Miss)
		}},
		{name: "origin down, stale within grace", files: map[string]string{"pack/x": pack}, run: func(b *bench) {
			b.want("pack/x", pack, engine.Miss)
			b.sleep(time.Hour)
			b.origin.setDown(true)
			b.want("pack/x", pack, engine.Stale)
			b.want("pack/x", pack, engine.Stale)
			if n := b.origin.asked("pack/x"); n != 2 {
				b.t.Errorf("%d fetches, want 2: a failing origin is left alone for a while", n)
			}
		}},
		{name: "origin down, stale beyond grace", files: map[string]string{"pack/x": pack}, run: func(b *bench) {
			b.want("pack/x", pack, engine.Miss)
			b.sleep(48 * time.Hour)
			b.origin.setDown(true)
			if _, _, err := b.get("pack/x"); !errors.Is(err, upstream.ErrUnavailable) {
				b.t.Errorf("err = %v, want ErrUnavailable", err)
			}
		}},
		{name: "origin down, nothing stored", files: map[string]string{}, run: func(b *bench) {
			b.origin.setDown(true)
			_, o, err := b.get("open/a")
			if !errors.Is(err, upstream.ErrUnavailable) || o != engine.Error || !strings.Contains(err.Error(), "open/a") {
				b.t.Errorf("get = %s, %v; want error naming open/a", o, err)
			}
		}},
		{name: "chain of documents", files: repository("01", "deb"), run: func(b *bench) {
			b.want("index", "claim pool/a.deb "+string(sum("deb"))+"\n", engine.Miss)
			b.want("pool/a.deb", "deb", engine.Miss)
			if l := b.lines.last(); l.Trust != "signed" || l.Signer != "archive" || l.Voucher != toyRoot+"index" {
				b.t.Errorf("line = %+v, want signed by archive, vouched for by index", l)
			}
		}},
		{name: "lock file asks for the artifact alone", files: map[string]string{"pack/x": pack, "pack/x/-/x.tgz": "tarball"}, run: func(b *bench) {
			b.want("pack/x/-/x.tgz", "tarball", engine.Miss)
			if l := b.lines.last(); l.Voucher != toyRoot+"pack/x" {
				b.t.Errorf("voucher = %q", l.Voucher)
			}
		}},
		{name: "index moved on: voucher refreshed once", files: map[string]string{"pack/x": pack, "pack/x/-/x.tgz": "tarball"}, run: func(b *bench) {
			b.want("pack/x", pack, engine.Miss)
			b.sleep(time.Second)
			b.origin.set("pack/x/-/x.tgz", "tarball two, which is longer")
			b.origin.set("pack/x", "claim pack/x/-/x.tgz "+string(sum("tarball two, which is longer"))+"\n")
			b.want("pack/x/-/x.tgz", "tarball two, which is longer", engine.Miss)
		}},
		{name: "mismatch twice", files: map[string]string{"pack/x": pack, "pack/x/-/x.tgz": "evil"}, run: func(b *bench) {
			got, o, err := b.get("pack/x/-/x.tgz")
			if !errors.Is(err, digest.ErrMismatch) || o != engine.Bad || got != "" {
				b.t.Errorf("get = %q, %s, %v; want bad, mismatch, no byte", got, o, err)
			}
			if !strings.Contains(err.Error(), string(sum("evil"))) || !strings.Contains(err.Error(), string(sum("tarball"))) {
				b.t.Errorf("%v does not name both digests", err)
			}
			if _, ok := b.blobs.Has(context.Background(), sum("evil")); ok {
				b.t.Error("wrong bytes were stored")
			}
			if l := b.lines.last(); l.Outcome != "bad" || l.Error == "" {
				b.t.Errorf("line = %+v", l)
			}
		}},
		{name: "no claim, default: unvouched", files: map[string]string{"open/a": "body"}, run: func(b *bench) {
			b.want("open/a", "body", engine.Miss)
			if l := b.lines.last(); l.Trust != "unvouched" {
				b.t.Errorf("trust = %q, want unvouched", l.Trust)
			}
		}},
		{name: "weak claim: pinned to its digest as well", files: map[string]string{"pack/a/-/1.tgz": "body",
			"pack/a": "claim pack/a/-/1.tgz sha1:" + sha1Of("body")}, run: func(b *bench) {
			b.want("pack/a/-/1.tgz", "body", engine.Miss)
			if err := b.blobs.Delete(context.Background(), sum("body")); err != nil {
				b.t.Fatal(err)
			}
			b.Forget("toy " + toyRoot + "pack/a/-/1.tgz")
			b.sleep(time.Hour)
			b.origin.set("pack/a/-/1.tgz", "evil")
			b.origin.set("pack/a", "claim pack/a/-/1.tgz sha1:"+sha1Of("evil"))
			if got, _, err := b.get("pack/a/-/1.tgz"); !errors.Is(err, digest.ErrMismatch) {
				b.t.Errorf("got %q, %v; want a mismatch with the pin", got, err)
			}
			b.origin.set("pack/a/-/1.tgz", "body")
			b.origin.set("pack/a", "claim pack/a/-/1.tgz sha1:"+sha1Of("body"))
			b.sleep(time.Hour)
			b.want("pack/a/-/1.tgz", "body", engine.Miss)
		}},
		{name: "no claim: pinned to its digest", files: map[string]string{"open/a": "body"}, run: func(b *bench) {
			b.want("open/a", "body", engine.Miss)
			if err := b.blobs.Delete(context.Background(), sum("body")); err != nil {
				b.t.Fatal(err)
			}
			b.start(policy.Rules{})
			b.origin.set("open/a", "changed")
			if _, o, err := b.get("open/a"); !errors.Is(err, engine.ErrTooLarge) || o != engine.Bad {
				b.t.Errorf("get = %s, %v, want bad: longer than the pin", o, err)
			}
			b.origin.set("open/a", "BODY")
			if _, _, err := b.get("open/a"); !errors.Is(err, digest.ErrMismatch) {
				b.t.Errorf("err = %v, want mismatch with the pin", err)
			}
			b.origin.set("open/a", "body")
			b.want("open/a", "body", engine.Miss)
		}},
		{name: "no claim, strict", files: map[string]string{"open/a": "body"}, rules: policy.Rules{Strict: true}, run: func(b *bench) {
			_, o, err := b.get("open/a")
			if !errors.Is(err, policy.ErrRefused) || o != engine.Refused || b.origin.asked("open/a") != 0 {
				b.t.Errorf("get = %s, %v after %d fetches; want refused without one", o, err, b.origin.asked("open/a"))
			}
		}},
		{name: "upload, foreign URL", files: nil, run: func(b *bench) {
			req := b.request("pack/x")
			req.Method = "POST"
			if _, err := b.Serve(context.Background(), req); !errors.Is(err, ecosystem.ErrBypass) {
				b.t.Errorf("POST: %v, want ErrBypass", err)
			}
			if _, _, err := b.get("nowhere"); !errors.Is(err, ecosystem.ErrUnknown) {
				b.t.Errorf("unknown path: %v, want ErrUnknown", err)
			}
		}},
		{name: "client's own credential", files: map[string]string{"open/a": "body"}, run: func(b *bench) {
			req := b.request("open/a")
			req.Credential = "c1"
			if _, err := b.Serve(context.Background(), req); !errors.Is(err, ecosystem.ErrBypass) {
				b.t.Errorf("authorised request: %v, want ErrBypass", err)
			}
		}},
		{name: "private answer is not stored", files: map[string]string{"open/a": "body"}, run: func(b *bench) {
			b.origin.private["open/a"] = true
			b.want("open/a", "body", engine.Bypass)
			b.want("open/a", "body", engine.Bypass)
			if _, ok := b.blobs.Has(context.Background(), sum("body")); ok {
				b.t.Error("a private body was stored")
			}
		}},
		{name: "private document is inspected", files: map[string]string{"pack/a": "bad", "pack/b": "good"}, run: func(b *bench) {
			b.origin.private["pack/a"], b.origin.private["pack/b"] = true, true
			if got, o, err := b.get("pack/a"); !errors.Is(err, ecosystem.ErrInvalid) {
				b.t.Errorf("GET pack/a = %q, %s, %v; want ErrInvalid", got, o, err)
			}
			b.want("pack/b", "good", engine.Bypass)
			if _, ok := b.blobs.Has(context.Background(), sum("good")); ok {
				b.t.Error("a private document was stored")
			}
		}},
		{name: "private root does not go back", files: map[string]string{"root": "signer k\ndate 2026-01-01T00:00:00Z\n"}, run: func(b *bench) {
			newest := b.origin.files["root"]
			b.want("root", newest, engine.Miss)
			b.sleep(2 * time.Minute)
			b.origin.private["root"] = true
			for _, body := range []string{"signer k\ndate 2025-01-01T00:00:00Z\n", "date 2026-01-02T00:00:00Z\n"} {
				b.origin.set("root", body)
				b.want("root", newest, engine.Stale)
			}
			newer := "signer k\ndate 2026-01-02T00:00:00Z\n"
			b.origin.set("root", newer)
			b.want("root", newer, engine.Bypass)
			if l := b.lines.last(); l.Signer != "k" || l.Digest != sum(newer) {
				b.t.Errorf("receipt says %+v", l)
			}
		}},
		{name: "private body that a shell may read is held back", files: map[string]string{"held/a": strings.Repeat("x", 200_000)}, run: func(b *bench) {
			b.origin.private["held/a"] = true
			b.origin.cut["held/a"] = 150_000
			if got, _, err := b.get("held/a"); err == nil || got != "" {
				b.t.Errorf("got %d bytes, %v; want none, and an error", len(got), err)
			}
		}},
		{name: "404 is believed briefly", files: map[string]string{}, run: func(b *bench) {
			for range 3 {
				if _, _, err := b.get("open/a"); !errors.Is(err, upstream.ErrNotFound) {
					b.t.Errorf("err = %v, want ErrNotFound", err)
				}
			}
			if n := b.origin.asked("open/a"); n != 1 {
				b.t.Errorf("%d fetches, want 1", n)
			}
			b.sleep(time.Minute)
			b.origin.set("open/a", "body")
			b.want("open/a", "body", engine.Miss)
		}},
		{name: "truncated body", files: map[string]string{"open/a": strings.Repeat("x", 200_000)}, run: func(b *bench) {
			b.origin.cut["open/a"] = 150_000
			got, _, err := b.get("open/a")
			if err == nil || len(got) >= 150_000 {
				b.t.Errorf("got %d bytes, %v; want fewer than arrived, and an error", len(got), err)
			}
			delete(b.origin.cut, "open/a")
			b.want("open/a", strings.Repeat("x", 200_000), engine.Miss)
		}},
		{name: "known digest under another name is not fetched", files: map[string]string{
			"pack/x": pack, "pack/x/-/x.tgz": "tarball", "pack/y": "claim pack/y/-/y.tgz " + string(sum("tarball")) + "\n"}, run: func(b *bench) {
			b.want("pack/x/-/x.tgz", "tarball", engine.Miss)
			b.want("pack/y/-/y.tgz", "tarball", engine.Hit)
		}},
		{name: "known digest under another name is fetched for its fields", files: map[string]string{
			"pack/x": pack, "pack/x/-/x.tgz": "tarball", "pack/y": "claim pack/y/-/y.kept " + string(sum("tarball")) + "\n", "pack/y/-/y.kept": "tarball"}, run: func(b *bench) {
			b.want("pack/x/-/x.tgz", "tarball", engine.Miss)
			b.want("pack/y/-/y.kept", "tarball", engine.Miss)
			b.want("pack/y/-/y.kept", "tarball", engine.Hit)
		}},
		{name: "digest in the URL", files: map[string]string{"sum/" + sum("layer").Hex(): "layer", "sum/" + sum("other").Hex(): "evil"}, run: func(b *bench) {
			b.want("sum/"+sum("layer").Hex(), "layer", engine.Miss)
			b.want("sum/"+sum("layer").Hex(), "layer", engine.Hit)
			if _, _, err := b.get("sum/" + sum("other").Hex()); !errors.Is(err, digest.ErrMismatch) {
				b.t.Errorf("err = %v, want mismatch", err)
			}
		}},
		{name: "invalid document", files: map[string]string{"pack/x": "bad\n"}, run: func(b *bench) {
			if _, o, err := b.get("pack/x"); !errors.Is(err, ecosystem.ErrInvalid) || o != engine.Bad {
				b.t.Errorf("get = %s, %v; want bad", o, err)
			}
		}},
		{name: "claim about somebody else's file", files: map[string]string{"pack/x": "claim http://other.test/f " + string(sum("f")) + "\n"}, run: func(b *bench) {
			if _, _, err := b.get("pack/x"); !errors.Is(err, ecosystem.ErrInvalid) {
				b.t.Errorf("err = %v, want ErrInvalid", err)
			}
		}},
		{name: "damaged blob is fetched again", files: map[string]string{"open/a": strings.Repeat("x", 100_000)}, run: func(b *bench) {
			b.want("open/a", strings.Repeat("x", 100_000), engine.Miss)
			if err := b.blobs.Delete(context.Background(), sum(strings.Repeat("x", 100_000))); err != nil {
				b.t.Fatal(err)
			}
			b.want("open/a", strings.Repeat("x", 100_000), engine.Miss)
		}},
		{name: "native view", files: map[string]string{"pack/x": "get @link\n"}, run: func(b *bench) {
			req := b.request("pack/x")
			req.Base = "http://127.0.0.1:7885"
			if got, _, err := b.do(req); got != "get http://127.0.0.1:7885/toy/pack/x/-/file\n" || err != nil {
				b.t.Errorf("view = %q, %v", got, err)
			}
			b.want("pack/x", "get @link\n", engine.Hit)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(newBench(t, tt.files, tt.rules)) })
	}
}

// TestGenerations checks that no client sees an index that its root does not name.
func TestGenerations(t *testing.T) {
	first, second := repository("01", "deb1"), repository("02", "deb2")
	b := newBench(t, repository("01", "deb1"), policy.Rules{})
	b.want("root", first["root"], engine.Miss)
	b.want("index", first["index"], engine.Miss)
	b.want("pool/a.deb", "deb1", engine.Miss)

	// The origin is in the middle of an update: the new root is there, its index is not.
	b.sleep(time.Hour)
	b.origin.set("root", second["root"])
	b.want("root", first["root"], engine.Stale)
	b.want("index", first["index"], engine.Hit)

	// Now the index has arrived, under its by-hash name only.
	b.sleep(time.Minute)
	b.origin.set("by-hash/"+sum(second["index"]).Hex(), second["index"])
	other := b.request("root")
	other.Peer = "192.0.2.2"
	if got, o, err := b.do(other); got != second["root"] || o != engine.Miss {
		t.Errorf("root = %q, %s, %v; want the second", got, o, err)
	}

	// Who saw the first root still gets the index which that names; the other the second.
	b.want("index", first["index"], engine.Hit)
	other = b.request("index")
	other.Peer = "192.0.2.2"
	if got, _, err := b.do(other); got != second["index"] {
		t.Errorf("index = %q, %v; want the second", got, err)
	}
	b.sleep(time.Hour)
	b.want("index", second["index"], engine.Hit)

	// The file changed under its name: the newest index decides.
	b.origin.set("pool/a.deb", "deb2")
	b.want("pool/a.deb", "deb2", engine.Miss)

	// The origin goes back to the older root, then to one that nobody signed.
	b.sleep(time.Hour)
	b.origin.set("root", first["root"])
	b.want("root", second["root"], engine.Stale)
	b.sleep(time.Hour)
	b.origin.set("root", strings.Replace(second["root"], "signer archive\n", "", 1))
	b.want("root", second["root"], engine.Stale)
}

// TestRestart checks that a new process serves what an old one stored, without an origin.
func TestRestart(t *testing.T) {
	files := repository("01", "deb")
	b := newBench(t, repository("01", "deb"), policy.Rules{})
	for _, p := range []string{"root", "index", "pool/a.deb"} {
		b.want(p, files[p], engine.Miss)
	}
	b.Close()
	b.origin.setDown(true)
	b.sleep(time.Hour)
	b.start(policy.Rules{})
	b.want("root", files["root"], engine.Stale)
	b.want("index", files["index"], engine.Hit)
	b.want("pool/a.deb", "deb", engine.Hit)
}

// TestBurst checks that many clients share one fetch and all get the whole body, the first
// bytes before the last have arrived, and that a client that leaves does not end it.
func TestBurst(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 64<<10)
	b := newBench(t, map[string]string{"open/big": body}, policy.Rules{})
	gate := make(chan struct{})
	b.origin.gate["open/big"] = gate

	ctx, leave := context.WithCancel(context.Background())
	first, err := b.Serve(ctx, b.request("open/big"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(first.Body, make([]byte, 1000)); err != nil {
		t.Fatalf("first bytes while the origin still sends: %v", err)
	}
	var group sync.WaitGroup
	outcomes := make(chan engine.Outcome, 50)
	for range 50 {
		a, err := b.Serve(context.Background(), b.request("open/big"))
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			defer a.Close()
			got, err := io.ReadAll(a.Body)
			if string(got) != body || err != nil {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			outcomes <- a.Outcome
		})
	}
	leave()
	if _, err := io.ReadAll(first.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("read after leaving: %v, want canceled", err)
	}
	first.Close()
	close(gate)
	group.Wait()
	for range 50 {
		if o := <-outcomes; o != engine.Joined {
			t.Errorf("outcome = %s, want joined", o)
		}
	}
	if n := b.origin.asked("open/big"); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
	b.want("open/big", body, engine.Hit)
}

// TestTailIsHeldBack checks that no client can complete a body that turns out wrong.
func TestTailIsHeldBack(t *testing.T) {
	evil := strings.Repeat("evil", 100_000)
	b := newBench(t, map[string]string{"pack/x": "claim pack/x/-/f " + string(sum("good")) + "\n", "pack/x/-/f": evil,
		"held/s": "#!/bin/sh\n"}, policy.Rules{})
	got, o, err := b.get("pack/x/-/f")
	if err == nil || o != engine.Bad || len(got) >= len(evil) {
		t.Errorf("got %d of %d bytes, %s, %v; want less, bad", len(got), len(evil), o, err)
	}
	b.want("held/s", "#!/bin/sh\n", engine.Miss)
}

// fullStore is a store on a full disk.
type fullStore struct{ blob.Store }

func (fullStore) Put(context.Context, digest.Digest, io.ReaderAt, int64) error { return blob.ErrFull }

// TestFullDisk checks that sutler serves through when it cannot store.
func TestFullDisk(t *testing.T) {
	b := newBench(t, map[string]string{"open/a": "body", "held/s": "script"}, policy.Rules{})
	b.Engine.Blobs = fullStore{b.blobs}
	b.want("open/a", "body", engine.Miss)
	b.want("held/s", "script", engine.Miss)
	b.want("held/s", "script", engine.Miss)
}

// TestFullDiskStillChecks checks that what a document claims holds although the claims
// cannot be stored.
func TestFullDiskStillChecks(t *testing.T) {
	b := newBench(t, map[string]string{"pack/x": "claim pack/x/-/f " + string(sum("good")) + "\n", "pack/x/-/f": "evil"}, policy.Rules{})
	b.Engine.Blobs = fullStore{b.blobs}
	if got, _, err := b.get("pack/x/-/f"); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("get = %q, %v; want a mismatch", got, err)
	}
	b.origin.set("pack/x/-/f", "good")
	b.want("pack/x/-/f", "good", engine.Miss)
}

// TestCredentialsStayApart checks that a digest is no key to what was fetched with a credential.
func TestCredentialsStayApart(t *testing.T) {
	b := newBench(t, map[string]string{
		"pack/priv": "claim pack/priv/-/f " + string(sum("secret")) + "\n", "pack/priv/-/f": "secret",
		"pack/evil": "claim pack/evil/-/f " + string(sum("secret")) + "\n",
	}, policy.Rules{})
	b.scope = func(url string) string {
		if strings.Contains(url, "/priv") {
			return "team"
		}
		return ""
	}
	b.start(policy.Rules{})
	b.want("pack/priv/-/f", "secret", engine.Miss)
	b.want("pack/priv/-/f", "secret", engine.Hit)
	if got, _, err := b.get("pack/evil/-/f"); !errors.Is(err, upstream.ErrNotFound) {
		t.Errorf("get = %q, %v; want what its own origin says: not found", got, err)
	}
}

// TestOptionalVoucher checks that a voucher which is not there says nothing, and one that
// cannot be asked is no reason to believe the file.
func TestOptionalVoucher(t *testing.T) {
	b := newBench(t, map[string]string{"opt/a": "evil", "opt/b": "plain"}, policy.Rules{})
	b.origin.failing = map[string]bool{"pack/sums": true}
	if got, _, err := b.get("opt/a"); !errors.Is(err, upstream.ErrUnavailable) {
		t.Errorf("get = %q, %v while the voucher cannot be asked; want ErrUnavailable", got, err)
	}
	b.origin.failing = nil
	b.want("opt/b", "plain", engine.Miss)
	b.sleep(time.Hour)
	b.origin.set("pack/sums", "claim opt/a "+string(sum("good"))+"\n")
	if got, _, err := b.get("opt/a"); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("get = %q, %v; want a mismatch", got, err)
	}
	b.origin.set("pack/sums", "bad\n")
	b.sleep(time.Hour)
	b.origin.set("opt/c", "plain")
	b.want("opt/c", "plain", engine.Miss)
}

// TestWitness checks that a witness which cannot be asked leaves a file unvouched, and one
// whose document is invalid does not.
func TestWitness(t *testing.T) {
	b := newBench(t, map[string]string{"wit/a": "a", "wit/b": "b", "wit/c": "evil"}, policy.Rules{})
	b.origin.failing = map[string]bool{"pack/sums": true}
	b.want("wit/a", "a", engine.Miss)
	if l := b.lines.last(); l.Trust != "unvouched" {
		t.Errorf("trust = %s, want unvouched", l.Trust)
	}
	b.origin.failing = nil
	b.origin.set("pack/sums", "bad\n")
	if got, _, err := b.get("wit/b"); !errors.Is(err, ecosystem.ErrInvalid) {
		t.Errorf("get = %q, %v; want ErrInvalid", got, err)
	}
	b.origin.set("pack/sums", "claim wit/c "+string(sum("good"))+"\n")
	if got, _, err := b.get("wit/c"); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("get = %q, %v; want a mismatch", got, err)
	}
}

// TestLateWitness checks that a file which was fetched while its witness could not be asked
// is vouched for once it can, and that a witness which has nothing to say is left alone.
func TestLateWitness(t *testing.T) {
	b := newBench(t, map[string]string{"wit/a": "a", "wit/b": "b", "wit/c": "evil"}, policy.Rules{})
	b.origin.failing = map[string]bool{"pack/sums": true}
	for path, body := range map[string]string{"wit/a": "a", "wit/b": "b", "wit/c": "evil"} {
		b.want(path, body, engine.Miss)
	}
	b.want("wit/a", "a", engine.Hit)
	if n := b.origin.asked("pack/sums"); n != 3 {
		t.Errorf("the witness was asked %d times, want once for each file: it just failed", n)
	}
	b.sleep(time.Minute)
	b.want("wit/a", "a", engine.Hit)
	if l := b.lines.last(); l.Voucher != "" {
		t.Errorf("vouched for by %q while the witness is out of reach", l.Voucher)
	}
	b.origin.failing = nil
	b.origin.set("pack/sums", "claim wit/a "+string(sum("a"))+"\nclaim wit/c "+string(sum("good"))+"\n")
	b.start(policy.Rules{})
	b.want("wit/a", "a", engine.Hit)
	if l := b.lines.last(); l.Voucher != toyRoot+"pack/sums" {
		t.Errorf("vouched for by %q, want the witness", l.Voucher)
	}
	if n := b.origin.asked("wit/a"); n != 1 {
		t.Errorf("the file was fetched %d times, want once", n)
	}
	if got, _, err := b.get("wit/c"); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("get = %q, %v; want a mismatch with what the witness says", got, err)
	}
	b.want("wit/b", "b", engine.Hit)
	asked := b.origin.asked("pack/sums")
	b.sleep(10 * time.Minute)
	b.want("wit/b", "b", engine.Hit)
	if n := b.origin.asked("pack/sums"); n != asked {
		t.Errorf("a witness that had nothing to say was asked %d times more", n-asked)
	}
}

// TestGuessedVoucher checks that a voucher which is only guessed may be forbidden, as
// object stores say of what is not there: the repository may know the file all the same.
func TestGuessedVoucher(t *testing.T) {
	files := repository("01", "deb")
	files["guess/a"], files["guess/b"] = "a", "evil"
	index := "claim guess/a " + string(sum("a")) + "\nclaim guess/b " + string(sum("good")) + "\n"
	files["index"], files["root"] = index, "signer archive\nclaim index "+string(sum(index))+"\n"
	b := newBench(t, files, policy.Rules{})
	b.origin.closed = map[string]bool{"pack/sums": true}
	b.want("index", index, engine.Miss)
	b.want("guess/a", "a", engine.Miss)
	if l := b.lines.last(); l.Trust != "signed" {
		t.Errorf("trust = %s, want signed", l.Trust)
	}
	if got, _, err := b.get("guess/b"); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("get = %q, %v; want a mismatch", got, err)
	}
}

// TestPartWaitsForTheCheck checks that a part of a wrong body is not completed.
func TestPartWaitsForTheCheck(t *testing.T) {
	b := newBench(t, map[string]string{"pack/x": "claim pack/x/-/f " + string(sum("good")) + "\n", "pack/x/-/f": strings.Repeat("evil", 100_000)}, policy.Rules{})
	req := b.request("pack/x/-/f")
	req.Part = true
	if got, _, err := b.do(req); !errors.Is(err, digest.ErrMismatch) || got != "" {
		t.Errorf("%d bytes, %v; want none and a mismatch", len(got), err)
	}
}

// TestFaultyParser checks that a panic in a parser ends one request, not the process.
func TestFaultyParser(t *testing.T) {
	b := newBench(t, map[string]string{"pack/x": "panic\n", "open/a": "body"}, policy.Rules{})
	if _, _, err := b.get("pack/x"); err == nil || !strings.Contains(err.Error(), "internal fault") {
		t.Errorf("err = %v, want an internal fault", err)
	}
	b.want("open/a", "body", engine.Miss)
}

// TestUnknownFileRefreshesTheRepository checks that a file which no stored index knows is
// looked for in a newer one before it is refused.
func TestUnknownFileRefreshesTheRepository(t *testing.T) {
	b := newBench(t, repository("01", "deb1"), policy.Rules{Strict: true})
	b.want("index", repository("01", "deb1")["index"], engine.Miss)
	second := repository("02", "deb1")
	index := second["index"] + "claim pool/b.deb " + string(sum("new")) + "\n"
	b.origin.set("index", index)
	b.origin.set("root", "date 2025-12-02T00:00:00Z\nsigner archive\nclaim index "+string(sum(index))+"\n")
	b.origin.set("pool/b.deb", "new")
	b.sleep(time.Hour)
	b.want("pool/b.deb", "new", engine.Miss)
	if l := b.lines.last(); l.Trust != "signed" {
		t.Errorf("trust = %s, want signed", l.Trust)
	}
}

// TestCircle ends with an error where documents need each other, at once, and whoever of
// them is asked first.
func TestCircle(t *testing.T) {
	b := newBench(t, map[string]string{"pack/a": "read pack/b\n", "pack/b": "read pack/a\n", "pack/c": "read pack/c\n"}, policy.Rules{})
	var wg sync.WaitGroup
	for _, path := range []string{"pack/a", "pack/b", "pack/c"} {
		wg.Go(func() {
			if _, _, err := b.get(path); !errors.Is(err, engine.ErrTooDeep) {
				t.Errorf("get %s = %v", path, err)
			}
		})
	}
	wg.Wait()
}

// TestSiblingIsAsNew checks that a document is not read with the signature of its last
// version, although that is still fresh.
func TestSiblingIsAsNew(t *testing.T) {
	b := newBench(t, map[string]string{"root": "beside pack/sig\n", "pack/sig": "one"}, policy.Rules{})
	b.want("root", "beside pack/sig\n", engine.Miss)
	b.sleep(2 * time.Minute)
	b.want("pack/sig", "one", engine.Revalidated)
	b.sleep(time.Second)
	b.origin.set("pack/sig", "two")
	b.origin.set("root", "beside pack/sig\ndate 2026-01-01T00:00:00Z\n")
	b.want("root", "beside pack/sig\ndate 2026-01-01T00:00:00Z\n", engine.Miss)
	if l := b.lines.last(); l.Signer != "two" {
		t.Errorf("signer = %s, want two", l.Signer)
	}
}

// TestInside passes a client that reaches private addresses through to those, but nothing of
// which it is known here what its bytes are: an origin that redirects there, or whoever
// answers for its name, must not get round the check that way.
func TestInside(t *testing.T) {
	b := newBench(t, map[string]string{"open/a": "body", "pack/x": "claim pack/x/-/f " + string(sum("file")) + "\n",
		"root": "signer k\nclaim index " + string(sum("claim pool/a "+string(sum("deb"))+"\n")) + "\n", "index": "claim pool/a " + string(sum("deb")) + "\n"}, policy.Rules{})
	b.local = func(ecosystem.Request) bool { return true }
	b.start(policy.Rules{})
	for _, path := range []string{"open/a", "pack/x", "root", "index"} {
		if _, _, err := b.get(path); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	b.sleep(1000 * time.Hour)
	b.origin.inside = true
	for path, want := range map[string]error{
		"open/b": ecosystem.ErrBypass, "pack/y": ecosystem.ErrBypass, "pack/y/-/f": ecosystem.ErrBypass,
		"pack/x/-/f": upstream.ErrBlocked, "pack/x": upstream.ErrBlocked, "root": upstream.ErrBlocked, "pool/a": upstream.ErrBlocked,
	} {
		if _, _, err := b.get(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

// sha1Of returns a digest that verifies nothing, in hexadecimal form.
func sha1Of(body string) string {
	return fmt.Sprintf("%x", sha1.Sum([]byte(body))) //nolint:gosec // that is what the test is about
}
