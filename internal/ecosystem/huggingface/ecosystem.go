package huggingface

import (
	"time"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/site"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "huggingface"

// Floors: how long a document counts as fresh whatever its origin says.
const (
	branchFloor = time.Minute
	commitFloor = 24 * time.Hour
)

// Options say which mirrors there are. The zero value is good for the public hub.
type Options struct {
	Hosts []string // "host" or "host/path"
}

// An Ecosystem translates the protocol of the hub. Create it with New.
type Ecosystem struct{ sites site.List }

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public hub and the mirrors of o.
func New(o Options) *Ecosystem {
	return &Ecosystem{sites: site.New(append([]string{"huggingface.co", "hf.co"}, o.Hosts...)...)}
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	hosts := e.sites.Hosts()
	return ecosystem.Profile{
		Name:   Name,
		Title:  "Hugging Face Hub",
		Hosts:  hosts,
		Mounts: []ecosystem.Mount{{Path: "/huggingface/", Origin: "https://" + hosts[0] + "/"}},
		// The chunked protocol goes past the cache, and the bytes are the same.
		Env:      []ecosystem.Setting{{Name: "HF_HUB_DISABLE_XET", Value: "1"}},
		First:    "/huggingface/gpt2/resolve/main/config.json",
		Verified: "large files by the SHA-256 that the list of their revision states, which TLS vouches for; small ones by TLS",
		Clients:  []string{"huggingface_hub 1.23"},
		Unsupported: []string{
			"git and the search of the API are passed through",
			"revisions with a slash in their name (refs/pr/1) are passed through",
			"gated and private files are stored for each credential apart",
		},
	}
}
