// Package ecosystem defines how a packaging protocol is described to the engine.
//
// An ecosystem is a translator. It opens no connection, keeps no file, reads no
// clock and writes no HTTP response; the engine does all of that, once, for all.
package ecosystem

import (
	"context"
	"errors"
	"io"
	"net/url"
	"time"

	"sutler/internal/digest"
)

var (
	// ErrUnknown is returned by Classify for a URL that is not of the ecosystem.
	ErrUnknown = errors.New("not a resource of this ecosystem")
	// ErrRefused is returned by Classify for operations that never go through a cache.
	ErrRefused = errors.New("operation not supported through a cache")
	// ErrBypass is returned by Classify for requests that are passed to the origin
	// and back unchanged and unstored: searches, audits, anything with a body.
	ErrBypass = errors.New("passed through")
	// ErrInvalid is wrapped by Inspect when a document is malformed or its signature
	// does not hold; such a document is never kept.
	ErrInvalid = errors.New("invalid document")
)

// An Ecosystem translates one packaging protocol. It opens no connection, keeps no
// file, reads no clock and writes no HTTP response. Safe for concurrent use.
type Ecosystem interface {
	// Profile returns the facts that never change.
	Profile() Profile

	// Classify reports which resource a request asks for. It returns ErrUnknown if the
	// URL is not of this ecosystem, ErrBypass if it must be passed through unstored, and
	// ErrRefused for uploads and other operations that cannot go through a cache.
	// The canonical URL of the resource stays on the origin of the request.
	Classify(Request) (Resource, error)

	// Inspect reads a document just fetched: it checks the document's own signature, if
	// it has one, and emits each claim it makes. src reads sibling documents (detached
	// signatures) through the engine. An error wrapping ErrInvalid means that the
	// document must not be kept; emit's errors are returned as they are.
	Inspect(ctx context.Context, doc Body, src Source, emit func(Claim) error) (Evidence, error)

	// View writes the document as one client should see it: links through v.Link,
	// versions that v.Show refuses left out. Sealed documents are copied unchanged.
	View(w io.Writer, doc Body, v View) error
}

// A Request is what every way in has in common.
type Request struct {
	Method string
	URL    *url.URL // at the origin, for example https://registry.example/left-pad
	Accept string   // the Accept field, as sent
	Client string   // the User-Agent field, as sent
	Part   bool     // asks for a part of the body only (Range)

	Build      string // the build that asks, "" if unknown
	Strict     bool   // the build refuses what nobody vouches for, whatever the rules say
	Offline    bool   // the build reaches no origin: what is not stored is an error
	Peer       string // the client's address without port, "" if unknown
	Credential string // scope of the credential sent upstream, "" for anonymous requests
	Base       string // "http://host:port" of the native endpoint it came by, so links are rewritten; else ""
}

// Kind says how a resource ages.
type Kind int

const (
	// Artifact is immutable: once stored it is never revalidated.
	Artifact Kind = iota
	// Document is mutable: fresh for a while, then revalidated. It may claim digests of others.
	Document
)

// String returns the kind in lower case.
func (k Kind) String() string {
	if k == Document {
		return "document"
	}
	return "artifact"
}

// A Resource is one thing that an origin serves.
type Resource struct {
	Ecosystem string
	URL       string // canonical, at the origin; with Variant, the identity
	Variant   string // chosen representation, "" for the only one
	Scope     string // credential it is fetched with; set by the engine, part of the identity
	Kind      Kind
	Package   string // for policy and receipts; "" if not about one package
	Version   string

	// Accept is the Accept field sent to the origin, "" for */*. It belongs to the resource,
	// never to the client that asks, so that all clients share one representation.
	Accept string

	// Repository is the root URL under which documents may vouch for resources that do
	// not name their voucher (apt: pool files under the archive root). "" if unused.
	Repository string
	// Root marks a signed document whose members (the resources it claims) must be
	// obtained, as far as clients use them, before a new version of it is shown.
	Root bool
	// Sealed marks a document that View copies unchanged.
	Sealed bool
	// Form names the representation of the document that this client gets, chosen from
	// what the request says ("abbreviated"); "" is the document as stored. It is no part
	// of the identity: one stored document serves all forms. FormType is its media type.
	Form, FormType string
	// Proof marks a detached signature: it is useless unless it verifies something, so
	// nobody need vouch for it.
	Proof bool
	// Hold keeps the whole body back until it is checked, because clients may act on a
	// prefix of it (a script piped to a shell). Documents are always held unless vouched.
	Hold bool
	// Floor is the least time that a document counts as fresh, whatever its origin says.
	Floor time.Duration

	// Header are fields that clients get with the body. Values may hold {sha256} and {md5},
	// the hexadecimal digest of the bytes that this client gets, and {sha256-base64}. A field
	// ETag replaces the engine's; it must be strong, with quotes.
	Header []Setting
	// Keep names fields of the origin's answer, or of a redirect on the way to it, that are
	// stored with the body and that clients get, with an origin's refusal as well. A strong
	// ETag among them replaces the engine's, which is not known before the whole body is.
	Keep []string
	// Literal is the whole answer, of media type FormType: nobody is asked, nothing stored.
	Literal []byte
	// Probe names a field of the origin's answers, to HEAD too, that states the digest of
	// the body as "sha256:HEX". Bodies are checked against it, and a stored document is
	// revalidated by HEAD, which counts against no quota.
	Probe string
	// Anonymous says that a credential which the client sends is dropped: what it gets is
	// what is open to all or to the credentials of the configuration.
	Anonymous bool

	// Claims are stated by the URL itself: OCI digests, by-hash paths.
	Claims []Claim
	// VouchedBy lists documents that may claim this resource's digest, best first.
	// The engine obtains them, in order, when it knows no claim yet.
	VouchedBy []Resource
	// Optional says that a missing voucher is no reason to call the resource unvouched
	// in warnings (generic downloads, where checksum files are the exception).
	Optional bool
	// Witnessed says that VouchedBy are witnesses apart from the origin (a checksum
	// database): one that refuses to speak or cannot be asked leaves the resource unvouched,
	// where else the request would fail. It is asked again at a later request.
	Witnessed bool
}

// Key identifies r in the index.
func (r Resource) Key() string {
	if r.Scope == "" {
		return r.ClaimKey()
	}
	return r.ClaimKey() + " scope=" + r.Scope
}

// ClaimKey identifies r in claims, which hold whoever fetches it.
func (r Resource) ClaimKey() string { return Key(r.Ecosystem, r.URL, r.Variant) }

// Key returns the identity of a resource in the index.
func Key(ecosystem, url, variant string) string {
	if variant == "" {
		return ecosystem + " " + url
	}
	return ecosystem + " " + url + " " + variant
}

// A Claim states the digest of a resource, and who said so.
type Claim struct {
	URL       string // canonical URL of the resource claimed, same ecosystem as the claiming document
	Variant   string
	Digest    digest.Digest
	Size      int64     // bytes, -1 if not stated
	Published time.Time // when the registry published it; zero if not stated
	Type      string    // media type that the bytes are served with, "" if not stated
	Via       string    // another URL of exactly these bytes that never changes (by-hash); "" if none
	By        string    // key of the claiming document, or ByURL; set by the engine for emitted claims
}

// ByURL is the By of claims that the URL itself makes.
const ByURL = "url"

// Evidence says why a document is believed.
type Evidence struct {
	Signer  string    `json:"signer,omitempty"` // key fingerprint and name; "" if only the transport vouches for it
	Note    string    `json:"note,omitempty"`   // why it is not signed, or what else people must know
	Dated   time.Time `json:"dated,omitzero"`   // when the document says it was made; never goes back
	Expires time.Time `json:"expires,omitzero"` // after that its maker does not stand by it; zero: never
}

// Body is the bytes of a resource.
type Body struct {
	Resource Resource
	io.ReaderAt
	Size int64 // bytes
}

// Reader returns a reader of the whole body.
func (b Body) Reader() *io.SectionReader { return io.NewSectionReader(b, 0, b.Size) }

// A Source lets Inspect read sibling documents through the engine. Safe for concurrent use.
type Source interface {
	// Document returns the current bytes of res. They stay readable until Inspect returns.
	Document(ctx context.Context, res Resource) (Body, error)
}

// View says how one client wants a document.
type View struct {
	Form string // Resource.Form of the request
	// Link maps a URL at the origin to the one that the client must use for it. It is
	// the identity through a forward proxy.
	Link func(origin string) string
	// Show reports whether a version published at that time may be shown. If nil, all are.
	Show func(version string, published time.Time) bool
}
