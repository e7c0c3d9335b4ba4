package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	blobmemory "sutler/internal/blob/memory"
	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/engine"
	"sutler/internal/freshness"
	indexmemory "sutler/internal/index/memory"
	"sutler/internal/policy"
	"sutler/internal/receipt"
	"sutler/internal/upstream"
)

// toy is an ecosystem with all the shapes that real ones have. Under http://toy.test:
//
//	/root          signed root, members /index and /index2 (by-hash at /by-hash/HEX)
//	/index         document vouched for by /root; claims files below /pool/
//	/pool/NAME     artifact, looked up in the repository
//	/pack/NAME     document on its own; claims /pack/NAME/-/FILE
//	/open/NAME     artifact nobody vouches for
//	/held/NAME     the same, held back until it is complete
//	/opt/NAME      artifact that /pack/sums may vouch for
//	/wit/NAME      artifact that /pack/sums is a witness of
//	/guess/NAME    artifact that is looked up in /pack/sums, which may not exist, and in the repository
//	/field/NAME    document with fields for clients; its origin states its digest, or stated
//	/ping          what the ecosystem itself answers
//	/sum/NAME      artifact whose URL states its digest (NAME is the hex of its SHA-256)
//
// A document holds lines: "claim PATH DIGEST [VIA]", "read PATH" for a sibling, "date RFC3339", "signer NAME", "bad", "panic", and
// "beside PATH" if what lies there is its signer.
type toy struct{}

const toyRoot = "http://toy.test/"

// toyLinks leads to the next part of a list, and elsewhere.
const toyLinks = `</list/a?from=2>; rel="next", <https://elsewhere.test/b>; rel="help"`

func (toy) Profile() ecosystem.Profile {
	return ecosystem.Profile{Name: "toy", Hosts: []string{"toy.test"}, Mounts: []ecosystem.Mount{{Path: "/toy/", Origin: toyRoot}}}
}

func (t toy) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	if r.URL.Hostname() != "toy.test" {
		return ecosystem.Resource{}, ecosystem.ErrUnknown
	}
	if r.Method == "POST" {
		return ecosystem.Resource{}, ecosystem.ErrBypass
	}
	res := ecosystem.Resource{Ecosystem: "toy", URL: r.URL.String()}
	doc, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch doc {
	case "root":
		res.Kind, res.Root, res.Sealed, res.Repository, res.Floor = ecosystem.Document, true, true, toyRoot, time.Minute
	case "index", "index2":
		res.Kind, res.Sealed, res.Repository = ecosystem.Document, true, toyRoot
		res.VouchedBy = []ecosystem.Resource{t.must("root")}
	case "by-hash":
		res.Kind, res.Sealed, res.Repository = ecosystem.Document, true, toyRoot
		res.VouchedBy = []ecosystem.Resource{t.must("root")}
		res.Claims = []ecosystem.Claim{{URL: res.URL, Digest: digest.Digest("sha256:" + name), Size: -1, By: ecosystem.ByURL}}
	case "pool":
		res.Repository = toyRoot
	case "pack":
		res.Kind, res.Floor = ecosystem.Document, time.Minute
		if pkg, _, file := strings.Cut(name, "/-/"); file {
			res.Kind, res.Package = ecosystem.Artifact, pkg
			res.VouchedBy = []ecosystem.Resource{t.must("pack/" + pkg)}
			if strings.HasSuffix(name, ".kept") {
				res.Keep = []string{"X-Commit"}
			}
		}
	case "held":
		res.Hold = true
	case "field":
		res.Kind, res.Floor, res.Keep, res.Probe, res.Anonymous = ecosystem.Document, time.Minute, []string{"X-Commit"}, "X-Digest", true
		res.Header = []ecosystem.Setting{{Name: "X-Sum", Value: "sha256:{sha256}"}, {Name: "Repr-Digest", Value: "sha-256=:{sha256-base64}:"}, {Name: "ETag", Value: `"{md5}"`}}
	case "list":
		res.Kind, res.Sealed, res.Floor, res.Keep = ecosystem.Document, true, time.Minute, []string{"X-Commit", "Link", "ETag"}
	case "ping":
		res.Literal, res.FormType = []byte("{}"), "application/json"
	case "sum":
		res.Claims = []ecosystem.Claim{{URL: res.URL, Digest: digest.Digest("sha256:" + name), Size: -1, By: ecosystem.ByURL}}
	case "opt":
		res.Optional = true
		res.VouchedBy = []ecosystem.Resource{t.must("pack/sums")}
	case "wit":
		res.Witnessed = true
		res.VouchedBy = []ecosystem.Resource{t.must("pack/sums")}
	case "guess":
		res.Repository = toyRoot
		res.VouchedBy = []ecosystem.Resource{t.must("pack/sums")}
	case "open":
	default:
		return res, ecosystem.ErrUnknown
	}
	return res, nil
}

func (t toy) must(path string) ecosystem.Resource {
	u, _ := url.Parse(toyRoot + path)
	res, _ := t.Classify(ecosystem.Request{Method: "GET", URL: u})
	return res
}

func (t toy) Inspect(ctx context.Context, doc ecosystem.Body, src ecosystem.Source, emit func(ecosystem.Claim) error) (ecosystem.Evidence, error) {
	var ev ecosystem.Evidence
	for s := bufio.NewScanner(doc.Reader()); s.Scan(); {
		f := strings.Fields(s.Text())
		switch {
		case len(f) == 2 && f[0] == "date":
			ev.Dated, _ = time.Parse(time.RFC3339, f[1])
		case len(f) == 2 && f[0] == "signer":
			ev.Signer = f[1]
		case len(f) == 2 && f[0] == "beside":
			sibling, err := src.Document(ctx, t.must(f[1]))
			if err != nil {
				return ev, err
			}
			b, _ := io.ReadAll(sibling.Reader())
			ev.Signer = string(b)
		case len(f) >= 3 && f[0] == "claim":
			c := ecosystem.Claim{URL: toyRoot + f[1], Digest: digest.Digest(f[2]), Size: -1}
			if strings.Contains(f[1], "://") {
				c.URL = f[1]
			}
			if len(f) > 3 {
				c.Via = toyRoot + f[3]
			}
			if err := emit(c); err != nil {
				return ev, err
			}
		case len(f) == 2 && f[0] == "read":
			if _, err := src.Document(ctx, t.must(f[1])); err != nil {
				return ev, err
			}
		case len(f) == 1 && f[0] == "panic":
			panic("a parser's fault")
		case len(f) == 1 && f[0] == "bad":
			return ev, fmt.Errorf("%w: bad line", ecosystem.ErrInvalid)
		}
	}
	return ev, nil
}

func (toy) View(w io.Writer, doc ecosystem.Body, v ecosystem.View) error {
	b, err := io.ReadAll(doc.Reader())
	if err != nil {
		return err
	}
	_, err = w.Write(bytes.ReplaceAll(b, []byte("@link"), []byte(v.Link(doc.Resource.URL+"/-/file"))))
	return err
}

// An origin is a fake origin: path to body. The zero origin answers 404.
type origin struct {
	mu      sync.Mutex
	files   map[string]string
	down    bool                     // every fetch is ErrUnavailable
	failing map[string]bool          // likewise, by path
	closed  map[string]bool          // every fetch of the path is ErrForbidden
	inside  bool                     // every fetch is ErrBlocked
	private map[string]bool          // answered with no-store
	stated  map[string]string        // the digest that goes with the body
	cut     map[string]int           // the body breaks after that many bytes
	gate    map[string]chan struct{} // the body goes on after its first half once closed
	calls   []string
	hook    func(path string)
}

func (o *origin) Fetch(_ context.Context, res ecosystem.Resource, v freshness.Validator) (*upstream.Response, error) {
	path := strings.TrimPrefix(res.URL, toyRoot)
	o.mu.Lock()
	o.calls = append(o.calls, path)
	hook := o.hook
	o.mu.Unlock()
	if hook != nil {
		hook(path)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	body, ok := o.files[path]
	switch {
	case o.down, o.failing[path]:
		return nil, fmt.Errorf("%w: %s", upstream.ErrUnavailable, path)
	case o.inside:
		return nil, fmt.Errorf("%w: %s", upstream.ErrBlocked, path)
	case o.closed[path]:
		return nil, fmt.Errorf("%w: %s", upstream.ErrForbidden, path)
	case !ok:
		return nil, fmt.Errorf("%w: %s", upstream.ErrNotFound, path)
	case v.ETag != "" && v.ETag == tag(body):
		return &upstream.Response{NotModified: true}, nil
	}
	r := io.Reader(strings.NewReader(body))
	if n, ok := o.cut[path]; ok {
		r = io.MultiReader(strings.NewReader(body[:n]), broken{})
	}
	if g := o.gate[path]; g != nil {
		half := len(body) / 2
		r = io.MultiReader(strings.NewReader(body[:half]), &gated{gate: g, r: strings.NewReader(body[half:])})
	}
	return &upstream.Response{Body: io.NopCloser(r), Size: int64(len(body)), Type: "text/plain", URL: res.URL,
		Validator: freshness.Validator{ETag: tag(body)}, NoStore: o.private[path], Stated: o.stated[path],
		Header: []ecosystem.Setting{{Name: "X-Commit", Value: "c0ffee"}, {Name: "Link", Value: toyLinks}, {Name: "ETag", Value: `"of-the-origin"`}}[:len(res.Keep)]}, nil
}

func (o *origin) set(path, body string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[path] = body
}

func (o *origin) setDown(down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down = down
}

// asked returns how often a path was fetched.
func (o *origin) asked(path string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, c := range o.calls {
		if c == path {
			n++
		}
	}
	return n
}

func tag(body string) string { return strconv.Quote(digest.OfBytes([]byte(body)).Hex()) }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

type gated struct {
	gate chan struct{}
	r    io.Reader
}

func (g *gated) Read(p []byte) (int, error) {
	<-g.gate
	return g.r.Read(p)
}

// lines is a receipt.Sink that keeps what it gets.
type lines struct {
	mu  sync.Mutex
	all []receipt.Line
}

func (l *lines) Append(x receipt.Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, x)
}

func (l *lines) last() receipt.Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return receipt.Line{}
	}
	return l.all[len(l.all)-1]
}

// A bench is an engine with a toy ecosystem, a fake origin and a clock.
type bench struct {
	*engine.Engine
	t       *testing.T
	origin  *origin
	lines   *lines
	blobs   *blobmemory.Store
	index   *indexmemory.Index
	mu      sync.Mutex
	now     time.Time
	trouble []error
	scope   func(url string) string
	local   func(ecosystem.Request) bool
}

func newBench(t *testing.T, files map[string]string, rules policy.Rules) *bench {
	t.Helper()
	b := &bench{t: t, origin: &origin{files: files, private: map[string]bool{}, cut: map[string]int{}, gate: map[string]chan struct{}{}},
		lines: &lines{}, blobs: new(blobmemory.Store), index: indexmemory.New(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.start(rules)
	return b
}

// start makes the engine; again after a "restart" on the same stores.
func (b *bench) start(rules policy.Rules) {
	b.t.Helper()
	e, err := engine.New(engine.Options{Ecosystems: []ecosystem.Ecosystem{toy{}}, Index: b.index, Blobs: b.blobs,
		Upstream: b.origin, Receipts: b.lines, Rules: rules, Grace: 24 * time.Hour, Now: b.clock, Scope: b.scope, Local: b.local,
		Trouble: func(err error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.trouble = append(b.trouble, err)
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Engine = e
	b.t.Cleanup(e.Close)
}

func (b *bench) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bench) sleep(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// request returns a GET of a path of the toy origin.
func (b *bench) request(path string) ecosystem.Request {
	return ecosystem.Request{Method: "GET", URL: mustURL(b.t, path), Peer: "192.0.2.1"}
}

// get reads a path to its end.
func (b *bench) get(path string) (string, engine.Outcome, error) { return b.do(b.request(path)) }

func (b *bench) do(req ecosystem.Request) (string, engine.Outcome, error) {
	a, err := b.Serve(context.Background(), req)
	if err != nil {
		return "", engine.Fails(err), err
	}
	defer a.Close()
	body := a.Bytes
	if body == nil {
		if body, err = io.ReadAll(a.Body); err != nil {
			a.Sent(int64(len(body)), err)
			return string(body), engine.Fails(err), err
		}
	}
	a.Sent(int64(len(body)), nil)
	return string(body), a.Outcome, nil
}

// want gets a path and compares body and outcome.
func (b *bench) want(path, body string, outcome engine.Outcome) {
	b.t.Helper()
	got, o, err := b.get(path)
	if err != nil || got != body || o != outcome {
		b.t.Errorf("GET %s = %.60q, %s, %v; want %.60q, %s", path, got, o, err, body, outcome)
	}
}

// sum returns the digest of a body, for claims.
func sum(body string) digest.Digest { return digest.OfBytes([]byte(body)) }

// none is a receipt.Sink that keeps nothing.
type none struct{}

func (*none) Append(receipt.Line) {}

// mustURL returns the URL of a path of the toy origin.
func mustURL(tb testing.TB, path string) *url.URL {
	tb.Helper()
	u, err := url.Parse(toyRoot + path)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}
