// Package oci describes container registries: what is pulled from them, not what is pushed.
//
// A tag names a manifest for a while; a manifest, or an index of manifests, names the
// manifests, the configuration and the layers that it is made of by digest, size and media
// type; and everything named by a digest never changes. The chain of trust is
//
//	TLS (tag) → digest of the index → manifest → configuration and layers
//
// so that only the first step, which digest a tag has today, rests on the connection. What
// the registry says with a tag in Docker-Content-Digest must agree with the bytes. Tags are
// revalidated by HEAD, because registries count GET.
//
// Not verified: signatures (cosign, notation, Docker content trust), and that layers unpack
// to the diff_ids of the configuration, which the engines check.
//
// https://github.com/opencontainers/distribution-spec/blob/main/spec.md
// https://distribution.github.io/distribution/spec/auth/token/
package oci
