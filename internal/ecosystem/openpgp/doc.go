// Package openpgp describes keyservers: HKP (/pks/lookup), VKS (/vks/v1/) and Web Key
// Directories (/.well-known/openpgpkey/), as gpg asks them over HTTP and HTTPS.
//
// A key is asked for by its fingerprint, which is a hash of the key itself. So the answer
// verifies itself, whoever gave it: it must be one key, and hash to what was asked for. Its
// user names and subkeys are not covered by the hash, but signed by the key; clients check
// that when they import it. Keys are kept for ever, because keyservers are often out of
// order: that a key was revoked or extended since shows only after a purge.
//
// A key id is the last 64 bits of a fingerprint. It must match, but such a key can be made,
// so it proves nothing, and the key rests on TLS. So does a key from a Web Key Directory,
// which must bear a user name that hashes to the name asked for.
//
// Not verified: signatures on keys, and that a keyserver gave all it has. Searches by name,
// indexes, short key ids and submissions are passed through, never stored.
//
// Specification: draft-gallagher-openpgp-hkp, https://keys.openpgp.org/about/api,
// draft-koch-openpgp-webkey-service, RFC 9580.
package openpgp
