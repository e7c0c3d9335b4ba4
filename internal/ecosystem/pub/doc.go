// Package pub describes package repositories for Dart and Flutter.
//
// /api/packages/{name} lists the versions of a package; each states the URL of its archive
// and the SHA-256 of that. Archives never change. The public repository has them under
// /api/archives/{name}-{version}.tar.gz, and in an older form that others still use,
// /packages/{name}/versions/{version}.tar.gz.
//
// Trust runs TLS → list of versions → archive_sha256 → archive.
//
// Not verified: archives on other hosts, or under URLs of another form.
//
// Such paths can mean anything, so only known repositories are recognised.
//
// Specification: https://github.com/dart-lang/pub/blob/master/doc/repository-spec-v2.md
package pub
