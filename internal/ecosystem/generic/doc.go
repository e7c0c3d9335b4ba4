// Package generic describes downloads over HTTP that no other ecosystem knows: release
// archives, binaries, install scripts.
//
// Such URLs promise nothing, so their look decides. A name with a version in it, or a file
// below a version, is an artifact: stored for ever, and an alarm if it ever changes. All
// else is a document, fresh for as long as RFC 9111 (HTTP caching) says, then revalidated.
// Scripts are held back until the last byte has come.
//
// Trust runs TLS → checksum file beside the archive → archive, on hosts that are known to
// have such files; a checksum file that is missing is no fault. Their signatures
// are not verified, so they prove no more than that the archive is what the host had when
// the checksum was made. Without a checksum file the first download is pinned.
//
// Git over HTTP, requests with a body, and URLs that carry a credential or a signature are
// passed through. Specification: RFC 9110, RFC 9111; the formats of checksum files are
// those of coreutils' sha256sum and sha512sum.
package generic
