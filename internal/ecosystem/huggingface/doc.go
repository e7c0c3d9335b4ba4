// Package huggingface describes the download side of the Hugging Face Hub.
//
// A file of a model, dataset or space is /{repo}/resolve/{revision}/{path}, where datasets
// and spaces have their kind before the name of the repository. Clients ask with HEAD
// first, for the commit (X-Repo-Commit) and the digest and size of large files
// (X-Linked-Etag, X-Linked-Size); large files are redirected to a signed URL elsewhere. A
// commit never changes; branches and tags do. /api/{kind}/{repo}/revision/{revision} lists
// the files of a revision, with the SHA-256 of those that git keeps elsewhere (LFS).
//
// Trust runs TLS → list of the revision → SHA-256 → large file.
//
// Not verified: small files, of which the list states only git's own SHA-1 over a header
// and the content, and the list itself, by its commit.
//
// Not cached: the tree and other parts of the API, git, and the chunked protocol for large
// files (Xet), which clients use only if an answer offers it; ours do not.
//
// Documentation: https://huggingface.co/docs/hub/api and https://huggingface.co/docs/huggingface_hub/
package huggingface
