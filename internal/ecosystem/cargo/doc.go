// Package cargo describes sparse registries of Rust crates, as cargo uses them.
//
// The index has one file for each crate (/{prefix}/{name}, the prefix made of the name's
// first letters), with one line of JSON for each version, and config.json, which says
// where crates are downloaded: usually on another host than the index. Crates never
// change; in the index only yanked does.
//
// Trust runs TLS → index file → cksum (SHA-256) → crate. Which index file vouches for a
// crate is told from the crate's URL: for the public registry it is known, for others it
// is an index that was configured, or one that lies where common registries have it. The
// index claims a crate only where its own config.json says that crates are.
//
// Not verified: everything that an index line says besides the checksum. Registries in git
// are not of this package; they are passed through.
//
// Specification: https://doc.rust-lang.org/cargo/reference/registry-index.html.
package cargo
