// Package conda describes Conda channels, as conda, mamba, micromamba and pixi use them.
//
// A channel has a folder for each platform (/{channel}/{subdir}/, such as linux-64 and
// noarch). Its repodata.json, also as .zst and .bz2, lists the packages in it by file name,
// each with its SHA-256, MD5 and size; current_repodata.json lists only the newest.
// Packages, {name}-{version}-{build}.conda or .tar.bz2, never change.
//
// Trust runs TLS → repodata → sha256 → package. Where a package is asked for alone, as lock
// files do, the compressed repodata is obtained, or the plain one if there is none.
//
// Not verified: repodata itself (signatures of channels are not in use), and packages that
// repodata leaves without a SHA-256, as channels made before 2018 do.
//
// Not cached: sharded repodata and its patch format (jlap); clients use whole repodata
// where those are missing.
//
// Specification: https://docs.conda.io/projects/conda-build/en/stable/concepts/generating-index.html
// and https://conda.org/learn/ceps/
package conda
