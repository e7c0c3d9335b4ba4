// Package gomod describes Go module proxies and the checksum database, as the go command
// uses them.
//
// Below the URL of a proxy, /{module}/@v/list names the versions of a module, {version}.info
// says what a version or a branch is, {version}.mod and {version}.zip are its go.mod and its
// source, and /@latest stands in for an empty list. Upper case is written !lower. A proxy
// may also pass on a checksum database at /sumdb/{name}/: /lookup/{module}@{version} has the
// hashes of a version and a signed tree head, /tile/ the hashes that prove both.
//
// Trust runs key of the database → signed tree head → tiles → record → h1 hashes of the .zip
// and of the go.mod, over their contents. The record's place in the tree is proven before a
// look-up is kept. Files of proxies that serve private modules are vouched for by nobody,
// and so pinned to the bytes that came first: to look them up would tell the database their
// names.
//
// Not verified: list, @latest and .info, which no hash covers; that a tree head is a
// continuation of an older one, which every client checks for itself; databases whose key
// is not known here.
//
// Specification: https://go.dev/ref/mod#goproxy-protocol and
// https://go.dev/ref/mod#checksum-database.
package gomod
