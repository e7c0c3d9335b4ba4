// Package rubygems describes gem servers, as Bundler and the gem command use them.
//
// The compact index has a list of all versions (/versions, which only grows between
// rebuilds), a list of names (/names) and, for each gem, a file with the dependencies and
// the SHA-256 of each version (/info/{name}). Gems (/gems/{name}-{version}[-{platform}].gem)
// never change. Clients ask for the rest of a grown list with a Range, and check what they
// have then by the ETag, which is the MD5 of the whole, or by Repr-Digest.
//
// Trust runs TLS → info → checksum (SHA-256) → gem, whatever the client itself looked at:
// the gem command checks no digest. The old index (specs.4.8.gz and its like, and the
// dependency API) states none; Bundler falls back to it without a word when it dislikes the
// compact one, so it is refused unless asked for.
//
// Not verified: the MD5 of info files that /versions states, which says nothing that TLS
// does not; gemspecs under /quick/, which nothing covers but TLS; signatures inside of gems.
//
// Specification: https://guides.rubygems.org/rubygems-org-compact-index-api/.
package rubygems
