// Package npm describes npm registries, as npm, yarn, pnpm and others use them.
//
// A packument (/{name}, or /@{scope}%2f{name}) lists the versions of a package; each
// version states the URL of its tarball (/{name}/-/{base}-{version}.tgz) and its
// Subresource Integrity. Tarballs never change. Clients ask for a packument in a full or
// an abbreviated form; only the full one is fetched, the other is derived from it.
//
// Trust runs TLS → packument → dist.integrity → tarball. Where every version carries a
// registry signature (ECDSA P-256 over name@version:integrity) by a key that this package
// knows, the packument counts as signed, and TLS is no longer needed. A signature by a
// known key that does not hold makes the packument invalid.
//
// Not verified: Sigstore provenance, signatures by keys published at /-/npm/v1/keys but
// unknown here, signatures of packages with more than a thousand signed versions, versions
// that state nothing but a SHA-1, and all of a packument but the integrity of its tarballs.
//
// Specification: https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md and
// https://github.com/npm/registry/blob/main/docs/responses/package-metadata.md.
package npm
