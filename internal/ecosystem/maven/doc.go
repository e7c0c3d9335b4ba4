// Package maven describes Maven repositories, as Maven, Gradle, sbt and others use them.
//
// A repository is a tree of files: /{group}/{artifact}/{version}/{artifact}-{version}.jar,
// .pom, .module and so on, where the dots of the group are slashes. They never change. Of a
// version that ends in -SNAPSHOT the files bear a time stamp in their names, and do not
// change either. maven-metadata.xml lists the versions of an artifact, the builds of a
// snapshot, or the plugins of a group. Beside each file lie files with its digests
// (.sha512, .sha256, .sha1, .md5) and often a signature (.asc).
//
// Trust runs TLS → checksum file → artifact, or TLS → Gradle module file → artifact. A
// SHA-1 alone must match but verifies nothing: such artifacts count as unvouched.
// maven-metadata.xml rests on TLS; what its own checksum says is left to the client, because
// the checksums of public repositories lag behind it and clients only warn.
//
// Not verified: signatures, which need a policy about keys for each group; MD5; and whether
// a repository may have an artifact of that group at all.
//
// Specification: https://maven.apache.org/repositories/layout.html,
// https://maven.apache.org/repositories/metadata.html and, for module files,
// https://github.com/gradle/gradle/blob/master/platforms/documentation/docs/src/docs/design/gradle-module-metadata-latest-specification.md.
package maven
