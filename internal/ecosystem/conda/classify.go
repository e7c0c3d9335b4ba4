package conda

import (
	"slices"
	"strings"

	"sutler/internal/ecosystem"
)

// Classify reports which resource a request asks for. The folder of a platform is
// unmistakable, so channels are recognised on every host. What else a known host is asked
// for is passed through.
func (e *Ecosystem) Classify(r ecosystem.Request) (ecosystem.Resource, error) {
	t, err := e.sites.Read(r)
	if err != nil {
		return ecosystem.Resource{}, err
	}
	n := len(t.Path)
	if n < 2 || !isPlatform(t.Path[n-2]) {
		if n > 0 && t.Known && t.Path[n-1] == "channeldata.json" {
			return repodata(t.URL()), nil
		}
		return ecosystem.Resource{}, t.None()
	}
	file := t.Path[n-1]
	if slices.Contains(indexes(), file) {
		return repodata(t.URL()), nil
	}
	stem, ok := strings.CutSuffix(file, ".conda")
	if !ok {
		stem, ok = strings.CutSuffix(file, ".tar.bz2")
	}
	name, version, named := cutName(stem)
	if !ok || !named {
		return ecosystem.Resource{}, t.None()
	}
	return ecosystem.Resource{
		Ecosystem: Name, URL: t.URL(), Kind: ecosystem.Artifact, Package: name, Version: version,
		VouchedBy: []ecosystem.Resource{repodata(t.Up(1, "repodata.json.zst")), repodata(t.Up(1, "repodata.json"))},
	}, nil
}

// repodata returns the resource of an index. It may have hundreds of megabytes, and file
// names in it are relative, so it is shown as it is.
func repodata(url string) ecosystem.Resource {
	return ecosystem.Resource{Ecosystem: Name, URL: url, Kind: ecosystem.Document, Sealed: true, Floor: floor}
}

// indexes are the files that list the packages of a folder.
func indexes() []string {
	return []string{
		"repodata.json", "repodata.json.zst", "repodata.json.bz2",
		"current_repodata.json", "current_repodata.json.zst", "current_repodata.json.bz2",
		"repodata_from_packages.json", "repodata_from_packages.json.zst", "repodata_from_packages.json.bz2",
	}
}

// isPlatform reports whether s names the folder of a platform.
func isPlatform(s string) bool {
	if s == "noarch" {
		return true
	}
	system, arch, ok := strings.Cut(s, "-")
	return ok && slices.Contains([]string{"linux", "osx", "win", "freebsd", "zos", "emscripten", "wasi"}, system) &&
		slices.Contains([]string{
			"32", "64", "aarch64", "arm64", "armv6l", "armv7l", "ppc64", "ppc64le", "riscv32", "riscv64", "s390x", "loongarch64", "wasm32", "z",
		}, arch)
}

// cutName splits name-version-build; the name may hold dashes, the others do not.
func cutName(stem string) (name, version string, ok bool) {
	i := strings.LastIndexByte(stem, '-')
	if i <= 0 {
		return "", "", false
	}
	j := strings.LastIndexByte(stem[:i], '-')
	if j <= 0 {
		return "", "", false
	}
	return stem[:j], stem[j+1 : i], j+1 < i && i+1 < len(stem)
}
