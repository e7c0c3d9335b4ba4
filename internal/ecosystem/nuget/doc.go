// Package nuget describes NuGet feeds of version 3.
//
// The service index (/v3/index.json) names the parts of a feed by absolute URLs. Restoring
// needs one of them, the flat container: /{id}/index.json lists versions, and
// /{id}/{version}/{id}.{version}.nupkg and .nuspec never change. Ids and versions are in
// lower case there.
//
// Of the parts only the catalog states digests. For the public feed trust runs
// TLS → registration leaf → catalog leaf → packageHash (SHA-512) → package: the leaf of the
// version is found from the package's URL, and names the catalog's. Versions of SemVer 2 have
// a leaf only among the registrations that come compressed to clients that did not ask for
// it; those are unpacked on the way, and clients get them as they are meant.
//
// Not verified: the signatures inside packages, which clients check, and packages of other
// feeds, whose layout is not known.
//
// Not cached: searches, vulnerabilities, and feeds of version 2.
//
// Specification: https://learn.microsoft.com/en-us/nuget/api/overview
package nuget
