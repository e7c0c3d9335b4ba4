// Package apk describes package repositories of Alpine Linux and its relatives, as apk uses
// them.
//
// A repository has a folder for each architecture, with APKINDEX.tar.gz in it and the
// packages NAME-VERSION.apk. Index and packages are gzip members one after the other, which
// together are a tar archive. An index starts with a signature of all that follows; a package
// is signature, control (.PKGINFO and scripts) and data.
//
// Trust runs key → index → control member of a package → its data. The index is signed with
// RSA, over SHA-1 (Alpine) or SHA-2, by a key whose file the signature names: one that Alpine
// ships, all of which are part of this package, or one that was configured. The index states
// the size of each package and a digest of its control member, and nothing of its other
// members; the control member states the SHA-256 of the data. What apk checks on installing
// is exactly this, so it is what [digest.APK] and [digest.APK256] compute.
//
// What holds this together: the digest of the control member is a SHA-1 in all indexes that
// apk index makes. Alone it verifies nothing. It counts because an attacker would need a
// second preimage, which nobody can make, or a collision made in advance, whose traces are
// looked for (see [digest.SafeSHA1]; the same for the signature of the index). A file is
// refused if anything is in it besides signatures, the control member and the data that it
// states. Not covered are the bytes of a package's own signatures: there may be at most
// 128 KiB of them, and nothing but files named .SIGN.*, which apk skips when the index vouches.
// They are not verified, because the index says which package it means and a signature of the
// package says only that it was right at some time. Stored bytes are pinned by their SHA-256.
//
// Version 3 has Packages.adb instead, and packages that are one file of another kind, by the
// same names: a tree of values first, then signatures of it, then the contents of files (see
// package adb). Signatures name their key by its id, and may be ECDSA. The index states the
// SHA-256 of a package's tree, and the tree a SHA-256 or SHA-512 of each file: [digest.ADB].
// Only signatures are not covered, as above.
//
// Not verified: an index signed by no known key (TLS vouches for it, plain HTTP nobody), what
// an index says besides size and digest, packages that no index lists, and those of an index
// of version 3 that names them by a pattern of its own. Such an index has no date either, so
// an older one is not told from a newer one.
//
// Specification: apk-v2(5), apk-v3(5), apk-repositories(5), apk-keys(5), apk-package(5) and
// https://wiki.alpinelinux.org/wiki/Apk_spec.
package apk
