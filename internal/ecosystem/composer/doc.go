// Package composer describes Composer repositories for PHP, as packagist.org, Satis and
// private ones are.
//
// /packages.json says where metadata lies (metadata-url, usually /p2/%package%.json). A
// metadata file /p2/{vendor}/{name}.json, and its sibling {name}~dev.json, lists versions
// in a minified form; each states the URL of its dist archive and, in private
// repositories, the SHA-1 of it. Files of the older protocol carry their SHA-256 in the
// URL (/p/{vendor}/{name}${sha256}.json).
//
// Trust runs TLS → metadata → dist.shasum, which must match but is a SHA-1 and verifies
// nothing. The dists of packagist.org are archives that a code host makes on request
// (/repos/{owner}/{name}/zipball/{commit}); nobody states their digest. They are kept by
// commit and pinned to the first download.
//
// Not verified: signatures (there are none) and the contents of dist archives.
//
// Specification: https://getcomposer.org/doc/05-repositories.md
package composer
