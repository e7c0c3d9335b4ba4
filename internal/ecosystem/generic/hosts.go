package generic

import "strings"

// A host is one that files are downloaded from, and what its URLs tell.
type host struct {
	name string
	look look
	// sums returns where the checksum of a file may be found, best first, at most three:
	// each costs a round trip when the file is first asked for. nil: nowhere.
	sums func(f file) []string
}

// A look says how a host's URLs tell what never changes.
type look int

// The looks.
const (
	byName    look = iota // by the version in the name of a file or directory
	byRelease             // a code host: files of releases and files at a commit
	byCommit              // single files of a repository
	onRequest             // archives made on request: never, their bytes change with the tool
)

// A file is a URL taken apart. Its members are canonical.
type file struct {
	whole string // URL
	above string // URL of the directory, with a slash at its end
	path  string
}

// publicHosts are the hosts that image builds commonly download from with curl or wget. It
// is a table; a host that serves accounts or private content does not belong here.
func publicHosts() []host {
	var (
		sha256    = beside(".sha256")
		sha256sum = beside(".sha256sum")
		sha512    = beside(".sha512")
		node      = listed("SHASUMS256.txt")
		kernel    = listed("sha256sums.asc")
	)
	return append([]host{
		{"github.com", byRelease, releaseSums},
		{"codeload.github.com", onRequest, nil},
		{"raw.githubusercontent.com", byCommit, nil},
		{"gist.githubusercontent.com", byCommit, nil},
		{"nodejs.org", byName, node},
		{"unofficial-builds.nodejs.org", byName, node},
		{"dl.deno.land", byName, sha256sum},
		{"dl.google.com", byName, below("/go/", sha256)},
		{"storage.googleapis.com", byName, below("/kubernetes-release/", sha256)},
		{"static.rust-lang.org", byName, sha256},
		{"services.gradle.org", byName, sha256},
		{"downloads.gradle.org", byName, sha256},
		{"archive.apache.org", byName, sha512},
		{"downloads.apache.org", byName, sha512},
		{"dlcdn.apache.org", byName, sha512},
		{"artifacts.elastic.co", byName, sha512},
		{"dl.k8s.io", byName, sha256},
		{"dl-cdn.alpinelinux.org", byName, sha256},
		{"cdn.dl.k8s.io", byName, sha256},
		{"get.helm.sh", byName, sha256sum},
		{"dl.min.io", byName, sha256sum},
		{"releases.hashicorp.com", byName, productSums},
		{"cdn.kernel.org", byName, kernel},
		{"www.kernel.org", byName, kernel},
	}, plainHosts()...)
}

// plainHosts are those of which nothing is known but their names.
func plainHosts() []host {
	var out []host
	for _, name := range []string{
		// releases on code hosts
		"objects.githubusercontent.com", "release-assets.githubusercontent.com", "sourceforge.net", "downloads.sourceforge.net",

		// languages and their installers
		"deb.nodesource.com", "rpm.nodesource.com", "get.pnpm.io", "repo.yarnpkg.com", "bun.sh", "bun.com", "deno.land", "fnm.vercel.app",
		"go.dev", "sh.rustup.rs", "ziglang.org", "julialang-s3.julialang.org", "cache.ruby-lang.org", "www.lua.org",
		"www.python.org", "bootstrap.pypa.io", "install.python-poetry.org", "astral.sh", "micro.mamba.pm",
		"getcomposer.org", "www.php.net", "pecl.php.net", "downloads.haskell.org", "get-ghcup.haskell.org",
		"cran.r-project.org", "cloud.r-project.org", "cpan.metacpan.org", "www.cpan.org",
		"dot.net", "dotnet.microsoft.com", "builds.dotnet.microsoft.com", "download.visualstudio.microsoft.com", "aka.ms",
		"corretto.aws", "api.adoptium.net", "cdn.azul.com", "download.java.net", "download.oracle.com",

		// containers, clouds, clusters
		"get.docker.com", "download.docker.com", "get.k3s.io", "istio.io", "fluxcd.io", "pkgs.tailscale.com",
		"awscli.amazonaws.com", "s3.amazonaws.com", "sdk.cloud.google.com", "packages.cloud.google.com",

		// databases and servers
		"fastdl.mongodb.org", "downloads.mongodb.com", "download.redis.io", "ftp.postgresql.org", "dev.mysql.com", "cdn.mysql.com", "nginx.org",

		// sources and tools
		"ftp.gnu.org", "ftpmirror.gnu.org", "www.openssl.org", "curl.se", "www.sqlite.org", "zlib.net", "cmake.org",
		"apt.llvm.org", "releases.llvm.org", "developer.download.nvidia.com",

		// browsers for tests
		"cdn.playwright.dev", "playwright.download.prss.microsoft.com", "download.cypress.io", "cdn.cypress.io",
		"googlechromelabs.github.io", "chromedriver.storage.googleapis.com",
	} {
		out = append(out, host{name: name})
	}
	return out
}

// beside is for hosts where each file has a checksum file of its own name and a suffix.
func beside(suffix string) func(file) []string {
	return func(f file) []string { return []string{f.whole + suffix} }
}

// listed is for hosts where each directory has a list of its files.
func listed(name string) func(file) []string {
	return func(f file) []string { return []string{f.above + name} }
}

// below is for hosts where only one directory has checksums.
func below(prefix string, sums func(file) []string) func(file) []string {
	return func(f file) []string {
		if !strings.HasPrefix(f.path, prefix) {
			return nil
		}
		return sums(f)
	}
}

// releaseSums are what release tools put beside the files of a release: one file for each,
// or a list that may be named after the project and the version.
func releaseSums(f file) []string {
	m := release.FindStringSubmatch(f.path)
	if m == nil {
		return nil
	}
	project := strings.Split(f.path, "/")[2]
	return []string{
		f.whole + ".sha256",
		f.above + project + "_" + strings.TrimPrefix(m[1], "v") + "_checksums.txt",
		f.above + "checksums.txt",
	}
}

// productSums is for paths of the form /product/version/file: the list is named after both.
func productSums(f file) []string {
	parts := strings.Split(strings.TrimPrefix(f.path, "/"), "/")
	if len(parts) != 3 {
		return nil
	}
	return []string{f.above + parts[0] + "_" + parts[1] + "_SHA256SUMS"}
}

// usualSums is for hosts that were configured, of which nothing is known.
func usualSums(f file) []string {
	return []string{f.whole + ".sha256", f.above + "SHA256SUMS"}
}
