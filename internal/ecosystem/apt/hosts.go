package apt

import (
	"net/url"
	"slices"
	"strings"
)

// publicHosts are the archives of the distributions, and the repositories of third
// parties that Dockerfiles commonly add.
func publicHosts() []string {
	hosts := []string{
		"deb.debian.org", "security.debian.org", "ftp.debian.org", "httpredir.debian.org", "cdn-fastly.deb.debian.org",
		"archive.debian.org", "snapshot.debian.org", "metadata.ftp-master.debian.org", "security-cdn.debian.org",
		"archive.ubuntu.com", "*.archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com", "*.ports.ubuntu.com",
		"old-releases.ubuntu.com", "snapshot.ubuntu.com", "ddebs.ubuntu.com", "changelogs.ubuntu.com", "esm.ubuntu.com",
		"ppa.launchpadcontent.net", "ppa.launchpad.net",
		"archive.raspberrypi.org", "archive.raspberrypi.com", "raspbian.raspberrypi.org", "raspbian.raspberrypi.com",
		"http.kali.org", "deb.torproject.org", "deb.devuan.org",

		"download.docker.com", "apt.postgresql.org", "apt-archive.postgresql.org", "deb.nodesource.com", "dl.yarnpkg.com",
		"packages.microsoft.com", "packages.cloud.google.com", "dl.google.com", "dl-ssl.google.com", "pkgs.k8s.io", "prod-cdn.packages.k8s.io",
		"apt.releases.hashicorp.com", "nginx.org", "apt.llvm.org", "cli.github.com", "packages.gitlab.com", "packagecloud.io",
		"repo.mysql.com", "repo.mongodb.org", "deb.mariadb.org", "archive.mariadb.org", "packages.redis.io", "artifacts.elastic.co",
		"packages.clickhouse.com", "debian.neo4j.com", "packages.confluent.io", "repo.zabbix.com", "apt.grafana.com", "packages.grafana.com",
		"packages.sury.org", "apt.corretto.aws", "packages.adoptium.net", "repos.azul.com", "pkg.jenkins.io", "packages.erlang-solutions.com",
		"dl.cloudsmith.io", "download.opensuse.org", "developer.download.nvidia.com", "nvidia.github.io",
		"apt.repos.intel.com", "repo.radeon.com", "dl.winehq.org", "download.mono-project.com", "cloud.r-project.org",
		"repo.charm.sh", "packages.fluentbit.io", "packages.treasuredata.com",
	}
	for _, country := range mirrorCountries() {
		hosts = append(hosts, "ftp."+country+".debian.org")
	}
	return hosts
}

// mirrorCountries are the countries that have an official mirror of Debian. Their names
// are listed one by one, because *.debian.org holds much that is no archive.
func mirrorCountries() []string {
	return strings.Fields("am at au be bg br by ca ch cl cn cz de dk ee es fi fr ge gr hk hr hu ie is it jp kr" +
		" lt lv md mx nc nl no nz pl pt ro ru se si sk sv th tr tw ua uk us za")
}

// A hostSet finds hosts by name.
type hostSet struct {
	names    map[string]bool
	suffixes []string // ".archive.example"
}

func newHostSet(hosts []string) hostSet {
	s := hostSet{names: make(map[string]bool, len(hosts))}
	for _, h := range hosts {
		if suffix, ok := strings.CutPrefix(h, "*"); ok {
			s.suffixes = append(s.suffixes, suffix)
			continue
		}
		s.names[h] = true
	}
	return s
}

// owns reports whether the host of u is one of the profile's.
func (e *Ecosystem) owns(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	return e.hosts.names[host] || slices.ContainsFunc(e.hosts.suffixes, func(s string) bool { return strings.HasSuffix(host, s) })
}
