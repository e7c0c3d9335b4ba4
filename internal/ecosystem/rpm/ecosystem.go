package rpm

import (
	"strings"

	"sutler/internal/ecosystem"
	"sutler/internal/pgp"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "rpm"

// Options configure the ecosystem.
type Options struct {
	// Keyrings are OpenPGP keyrings, binary or armored, as files in /etc/pki/rpm-gpg are.
	// A signature by any key in them counts, whatever repository it is for. What
	// pgp.Check refuses adds no keys.
	Keyrings [][]byte
	// Hosts are further hosts of repositories. What follows a host's name is not needed:
	// files of repositories are known by the shape of their path.
	Hosts []string
}

// An Ecosystem translates the protocol of RPM repositories. Create it with New.
type Ecosystem struct {
	keys    pgp.Keyring
	signed  bool // there are keys that a signature can be by
	profile ecosystem.Profile
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem.
func New(o Options) *Ecosystem {
	e := &Ecosystem{keys: pgp.New(o.Keyrings), signed: len(o.Keyrings) > 0}
	hosts := publicHosts()
	for _, h := range o.Hosts {
		h, _, _ = strings.Cut(h, "/")
		hosts = append(hosts, strings.ToLower(h))
	}
	e.profile = ecosystem.Profile{
		Name:     Name,
		Title:    "rpm (dnf, yum, zypper)",
		Hosts:    hosts,
		Mounts:   mounts(),
		Verified: "OpenPGP signature of repomd.xml, if it has one, else TLS → SHA-256 of its indexes → SHA-256 of packages",
		Clients:  []string{"dnf 4.14", "dnf5 5.4"},
		Unsupported: []string{
			"repositories that ask for a client certificate are tunnelled",
			"dnf reads no variable for its authorities: over HTTPS it needs sslcacert, or the bundle of the system",
			"a repository whose only index is zchunk or SQLite states nothing about its packages here",
			"packages that lie outside of the folder of their repository count only if their path holds their digest",
		},
	}
	return e
}

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	p := e.profile
	p.Hosts = append([]string(nil), p.Hosts...)
	p.Mounts = mounts()
	return p
}

// mounts are where archives appear under the native endpoint. Few are signed, so TLS is
// the rule; mirrors that have none appear under a name that says so.
func mounts() []ecosystem.Mount {
	return []ecosystem.Mount{
		{Path: "/rpm/{host}/", Origin: "https://{host}/"},
		{Path: "/rpm-http/{host}/", Origin: "http://{host}/"},
	}
}

// centosList is the list of mirrors that CentOS 8 and before ask. It is gone.
const centosList = "mirrorlist.centos.org"

// publicHosts are the archives of the distributions, their lists of mirrors, and the
// repositories of third parties that Dockerfiles commonly add.
func publicHosts() []string {
	return []string{
		"mirrors.fedoraproject.org", "dl.fedoraproject.org", "download.fedoraproject.org", "kojipkgs.fedoraproject.org",
		"archives.fedoraproject.org", "download.copr.fedorainfracloud.org", "codecs.fedoraproject.org",
		centosList, "mirrors.centos.org", "mirror.centos.org", "vault.centos.org", "mirror.stream.centos.org", "composes.stream.centos.org",
		"mirrors.rockylinux.org", "dl.rockylinux.org", "download.rockylinux.org",
		"mirrors.almalinux.org", "repo.almalinux.org", "vault.almalinux.org",
		"yum.oracle.com", "cdn-ubi.redhat.com",
		"cdn.amazonlinux.com", "amazonlinux.default.amazonaws.com", "al2023-repos-us-east-1-de612dc2.s3.dualstack.us-east-1.amazonaws.com",
		"download.opensuse.org", "cdn.opensuse.org", "codecs.opensuse.org", "updates.suse.com",
		"mirrors.rpmfusion.org", "download1.rpmfusion.org", "mirrors.elrepo.org", "elrepo.org", "rpms.remirepo.net", "cdn.remirepo.net",
		"download.postgresql.org", "yum.postgresql.org", "rpm.nodesource.com", "dl.yarnpkg.com", "download.docker.com",
		"packages.microsoft.com", "packages.cloud.google.com", "dl.google.com", "pkgs.k8s.io", "prod-cdn.packages.k8s.io",
		"rpm.releases.hashicorp.com", "nginx.org", "cli.github.com", "packages.gitlab.com", "packagecloud.io",
		"repo.mysql.com", "repo.mongodb.org", "rpm.mariadb.org", "yum.mariadb.org", "artifacts.elastic.co", "packages.clickhouse.com",
		"rpm.grafana.com", "repo.zabbix.com", "packages.confluent.io", "yum.corretto.aws", "packages.adoptium.net", "repos.azul.com",
		"developer.download.nvidia.com", "nvidia.github.io", "yum.repos.intel.com", "repo.radeon.com", "dl.cloudsmith.io", "dl.winehq.org",
	}
}
