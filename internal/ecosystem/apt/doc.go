// Package apt describes Debian package repositories, as apt and debootstrap use them.
//
// A repository has a root. Below dists/SUITE/ lie InRelease, which is signed, and the
// indexes (Packages, Sources, Translation, Contents …), also by their digest under
// by-hash/. The files that Packages and Sources list lie below the root, mostly in pool/.
// A flat repository has InRelease, Packages and the files in one folder and below it.
//
// Trust runs keyring → InRelease (or Release with Release.gpg) → Packages, Sources → .deb,
// .dsc, tarballs: each states SHA-256 and size of the next. Only SHA-256 and SHA-512
// count. One good signature by a known key is enough, and only what it signs is read.
//
// Indexes are members of their release: no client sees one that the release shown to it
// does not name. They are fetched by their by-hash URL where the release offers it.
//
// Not verified: a release signed by no known key (it is served as unvouched and says so),
// changelogs, and files that neither a release nor an index lists.
//
// Specification: https://wiki.debian.org/DebianRepository/Format, sources.list(5),
// apt-secure(8), apt-transport-http(1).
package apt
