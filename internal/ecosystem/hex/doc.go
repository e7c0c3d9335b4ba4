// Package hex describes Hex repositories for Erlang, Elixir and Gleam.
//
// /packages/{name} lists the releases of a package with the SHA-256 of their tarballs,
// /tarballs/{name}-{version}.tar, which never change; /names and /versions list packages.
// These three are Protocol Buffers, signed (RSA over SHA-512) and compressed with gzip.
// Repositories of organisations lie under /repos/{name}/ of the same host.
//
// Trust runs signature of the repository → package → outer checksum → tarball. The key of
// the public repository is fixed here; what calls itself by its name, wherever it lies,
// must be signed by it. Other repositories have keys that only their users know: for those
// trust starts at TLS.
//
// Not verified: documentation archives and what installs the client (/docs/, /installs/),
// which are stored as they come.
//
// Specification: https://github.com/hexpm/specifications/blob/main/registry-v2.md
package hex
