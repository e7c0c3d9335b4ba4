// Package pypi describes Python package indexes, as pip, uv, poetry and others use them.
//
// A project page (/simple/{project}/, JSON or HTML) lists the files of all versions; each
// file has a URL, often on another host, and the digest of its bytes. Wheels and source
// archives never change under their name. Beside a wheel lies its metadata ({file}.metadata),
// whose digest the page states too. Pages are fetched as JSON where the index has it, because
// only that says when files were uploaded; HTML is made from it for clients that want it.
//
// Trust runs TLS → project page → sha256 → file, and page → core-metadata → metadata. A file
// that is asked for without its page (lock files, the host of the files) is looked up on the
// page of the project that its name states.
//
// Not verified: attestations (PEP 740), OpenPGP signatures beside files, files of which the
// page states no digest or an MD5 only, and what a page says besides digests.
//
// Specification: https://packaging.python.org/en/latest/specifications/simple-repository-api/.
package pypi
