// Package rpm describes RPM package repositories, as dnf, yum and zypper use them.
//
// A repository has a base. repodata/repomd.xml lists the indexes of one generation
// (primary, filelists, other, comps, updateinfo, modules …) with digest and size, mostly
// under names that start with the digest. primary lists the packages, which lie below the
// base. Lists of mirrors (mirrorlist, metalink) say where bases are.
//
// Trust runs keyring → repomd.xml.asc → repomd.xml → primary → package; where repomd.xml
// is not signed, which is the rule, TLS stands for the signature. Clients check none of
// the signature unless told to; it is checked here whenever there is one.
//
// Indexes are members of their repomd.xml: one that names an index which cannot be had
// replaces none that is complete. Of lists of mirrors clients get few entries, always the
// same and best those that the cache sees, or every build would fetch from elsewhere.
//
// Not verified: signatures inside of packages (the client checks them), open-checksum and
// what zchunk and SQLite indexes hold; packages that no index lists; keys (repomd.xml.key).
//
// Specification: https://github.com/rpm-software-management/createrepo_c, metalink 3.0 with
// the extension of MirrorManager, dnf.conf(5).
package rpm
