// Package helm describes chart repositories for Helm.
//
// A repository is a folder with an index.yaml, which lists the versions of each chart with
// the URLs of their archives, relative to itself or absolute, and the SHA-256 of them. The
// archives, {name}-{version}.tgz, usually lie beside it or in charts/ below it; a detached
// OpenPGP signature may lie beside each (.prov).
//
// Trust runs TLS → index.yaml → digest → chart. Helm itself checks the digest of no chart
// from a repository unless it is told to verify signatures.
//
// Not verified: provenance files, which clients check with keys of their users, and charts
// that an index names on another host: those are plain downloads.
//
// A .tgz can be anything, so on hosts that are no known repository charts are recognised
// only if Helm asks for them.
//
// Specification: https://helm.sh/docs/topics/chart_repository/
package helm
