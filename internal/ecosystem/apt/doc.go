// Package apt describes Debian and Ubuntu package repositories.
//
// Trust runs InRelease (or Release with Release.gpg) → Packages, Sources and the other
// indexes → .deb, .dsc and tarballs: the first is signed, each states the digests of the
// next (https://wiki.debian.org/DebianRepository/Format). Only SHA-256 and SHA-512 count.
//
// Indexes are members of their release: a client never sees one that the release shown to
// it does not name. They are fetched by their by-hash URL where the release offers it.
//
// Not verified: a release signed by no known key (it is served as unvouched and says so),
// changelogs and installer images whose digest no release states.
package apt
