// Package terraform describes the registry protocol of Terraform and OpenTofu.
//
// /.well-known/terraform.json says where a registry's services lie. For a provider,
// /v1/providers/{namespace}/{type}/versions lists versions, and {version}/download/{os}/{arch}
// states where the archive lies, usually on a host for releases, and its SHA-256. Beside
// the archive lies a list of the SHA-256 of all archives of the version, and an OpenPGP
// signature of that list.
//
// Trust runs TLS → download document → shasum → archive. Archives are asked for by URLs of
// the release host, from which the download document is found: by the owner of the
// repository on a code host. The list beside the archive (…_SHA256SUMS) is what is left
// where that fails.
//
// Not verified: the signature of the list, which clients check with the key that the
// registry states. Modules are fetched from where the registry sends the client (git).
//
// Specification: https://developer.hashicorp.com/terraform/internals/provider-registry-protocol
package terraform
