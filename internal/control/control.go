// Package control is how the command line and the daemon talk: JSON over HTTP on a unix
// socket that only its owner (and root) can reach. Whatever changes state goes this way,
// never over TCP: build steps run foreign code and can reach the port.
package control

import (
	"context"
	"time"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/receipt"
)

// Status is one look at a running daemon.
type Status struct {
	Version  string    `json:"version"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Listen   []string  `json:"listen"`          // host:port, loopback first
	Led      []string  `json:"led,omitempty"`   // host:port for connections that DNS or DNAT leads here
	Named    []string  `json:"named,omitempty"` // where names are answered: address:port, or a bridge with it
	Offline  bool      `json:"offline"`
	Store    Store     `json:"store"`
	Counters Counters  `json:"counters"`
	CA       CA        `json:"ca"`
	Trouble  []string  `json:"trouble,omitempty"` // newest last; what people should look at
	// Tunnelled says which hosts to intercept are tunnelled for now, for whom, and why.
	Tunnelled []string `json:"tunnelled,omitempty"`
	// DropIns is the folder of which files the configuration is read too, "" if it is not.
	DropIns string `json:"dropIns,omitempty"`
	// Settings are those in force, as in a configuration file, by key.
	Settings map[string]string `json:"settings,omitempty"`
}

// Store says how full the store is. Sizes are bytes.
type Store struct {
	Dir     string `json:"dir"`
	Bytes   int64  `json:"bytes"`
	Blobs   int64  `json:"blobs"`
	MaxSize int64  `json:"maxSize"` // 0: no limit
	Free    int64  `json:"free"`    // on its file system
}

// Counters add up the answers since the daemon started.
type Counters struct {
	Answers   map[string]int64 `json:"answers"`   // by outcome
	Bytes     int64            `json:"bytes"`     // sent to clients
	FromStore int64            `json:"fromStore"` // of these, from the store
	// LastError is when, for which URL and why there was last an answer "error" or "bad"; "" if never.
	LastError string `json:"lastError,omitempty"`
}

// CA describes the local certificate authority.
type CA struct {
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint"` // SHA-256 of the root, hexadecimal
	Names       []string  `json:"names"`       // DNS names it is constrained to
	NotAfter    time.Time `json:"notAfter"`    // end of the intermediate, which signs
	PEM         string    `json:"pem"`         // the roots to trust: this one's and the next one's
	// Registries are those of the names that are image registries.
	Registries []string `json:"registries,omitempty"`
	Next       *NextCA  `json:"next,omitempty"` // while a rotation runs
}

// NextCA describes the authority that signs next.
type NextCA struct {
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint"`
	NotAfter    time.Time `json:"notAfter"`
	Starts      time.Time `json:"starts"` // when it begins to sign
}

// A RotateRequest says how long the old authority goes on to sign; 0: no longer.
type RotateRequest struct {
	Overlap time.Duration `json:"overlap"` // nanoseconds
}

// Reloaded says which settings differ since the configuration was read the last time, by key.
type Reloaded struct {
	Applied []string `json:"applied,omitempty"`
	Restart []string `json:"restart,omitempty"` // in force only after a restart
}

// A BuildRequest announces a build or a command.
type BuildRequest struct {
	Command string `json:"command"` // for people
	// Address is the address of this machine on which the build's steps reach it, without
	// port; the daemon listens there too if it does not yet. "" for loopback.
	Address string `json:"address,omitempty"`
	// Dir is where Files will be in the build's steps, or on disk.
	Dir string `json:"dir"`
	// Steps says that the variables go into cache keys of build steps: those that differ
	// from build to build are left out.
	Steps bool `json:"steps,omitempty"`
	// Strict refuses this build what nobody vouches for, and Offline lets it reach no
	// origin, whatever the configuration says of others.
	Strict  bool `json:"strict,omitempty"`
	Offline bool `json:"offline,omitempty"`
}

// A Build is what a build needs to be served by the daemon.
type Build struct {
	ID    string              `json:"id"`
	Proxy string              `json:"proxy"` // URL, names the build as user
	Env   []ecosystem.Setting `json:"env"`   // in a fixed order
	// Proxied names further variables that hold Proxy; they are not in Env if that goes
	// into cache keys.
	Proxied []string          `json:"proxied,omitempty"`
	Files   map[string][]byte `json:"files"` // by name, to be put into BuildRequest.Dir
}

// Receipt is a build and all that it was served.
type Receipt struct {
	receipt.Summary
	Lines []receipt.Line `json:"lines"`
}

// An Item is something that is stored.
type Item struct {
	Key       string        `json:"key"`
	Ecosystem string        `json:"ecosystem"`
	URL       string        `json:"url"`
	Kind      string        `json:"kind"` // artifact or document
	Package   string        `json:"package,omitempty"`
	Version   string        `json:"version,omitempty"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`    // bytes
	Present   bool          `json:"present"` // false: evicted, the digest is still pinned
	Stored    time.Time     `json:"stored"`
	Checked   time.Time     `json:"checked"`
	Fresh     time.Time     `json:"fresh,omitzero"` // documents: until when
	Origin    string        `json:"origin,omitempty"`
	Trust     string        `json:"trust"`
	Voucher   string        `json:"voucher,omitempty"`
	Signer    string        `json:"signer,omitempty"`
	Note      string        `json:"note,omitempty"`
	Builds    []string      `json:"builds,omitempty"` // that received these bytes; only of one item
}

// Usage adds up what is stored of one ecosystem.
type Usage struct {
	Ecosystem string `json:"ecosystem"`
	Kind      string `json:"kind"`
	Entries   int64  `json:"entries"`
	Bytes     int64  `json:"bytes"`
}

// A PruneRequest says what to evict: the least useful blobs first or, if Older is set, what
// no build used and no origin confirmed for so long. Only builds leave a trace of their use.
type PruneRequest struct {
	Older   time.Duration `json:"older,omitempty"` // nanoseconds
	MaxSize int64         `json:"maxSize"`         // until the store is no larger, bytes; 0: what the configuration says
	DryRun  bool          `json:"dryRun"`
}

// A PurgeRequest says what to forget: entries and pins whose URL or package contains Match.
type PurgeRequest struct {
	Match  string `json:"match"`
	All    bool   `json:"all"`
	DryRun bool   `json:"dryRun"`
}

// Removed is what was removed, or would be.
type Removed struct {
	Entries int64 `json:"entries"`
	Blobs   int64 `json:"blobs"`
	Bytes   int64 `json:"bytes"`
}

// Progress is how far a long operation has come. The last one of a Verify has Done set.
type Progress struct {
	Blobs   int64  `json:"blobs"`
	Total   int64  `json:"total"`
	Bytes   int64  `json:"bytes"`
	Damaged int64  `json:"damaged"`
	Done    bool   `json:"done"`
	Error   string `json:"error,omitempty"`
}

// A Daemon answers for the process. Its methods are safe for concurrent use.
type Daemon interface {
	Status(ctx context.Context) (Status, error)
	// RotateCA begins a rotation of the local authority.
	RotateCA(ctx context.Context, r RotateRequest) (CA, error)
	// Reload reads the configuration again and applies what can be applied. If it is wrong,
	// nothing has changed.
	Reload(ctx context.Context) (Reloaded, error)
	// Stop begins an orderly shutdown and returns at once.
	Stop()
}

// Builds begins and ends builds, and knows their receipts. Safe for concurrent use.
type Builds interface {
	Begin(ctx context.Context, r BuildRequest) (Build, error)
	// End returns receipt.ErrNotFound for an unknown id.
	End(ctx context.Context, id string, exitCode int) (receipt.Summary, error)
	List(ctx context.Context, limit int) ([]receipt.Summary, error)
	// Show returns receipt.ErrNotFound; id may be a prefix or "last".
	Show(ctx context.Context, id string) (Receipt, error)
}

// A Stock is what is stored. Safe for concurrent use.
type Stock interface {
	Items(ctx context.Context, match string, limit int) ([]Item, error)
	// Item returns index.ErrNotFound; name is a key or a URL.
	Item(ctx context.Context, name string) (Item, error)
	Usage(ctx context.Context) ([]Usage, error)
	// Prune, Purge and Verify call report now and then.
	Prune(ctx context.Context, r PruneRequest, report func(Progress)) (Removed, error)
	Purge(ctx context.Context, r PurgeRequest, report func(Progress)) (Removed, error)
	// Verify hashes every blob.
	Verify(ctx context.Context, report func(Progress)) (Progress, error)
}
