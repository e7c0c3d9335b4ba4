package apt

import (
	"bytes"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp"

	"sutler/internal/ecosystem"
)

// Options configure the ecosystem.
type Options struct {
	// Keyrings are OpenPGP keyrings, binary or armored. A signature by any key in them counts.
	Keyrings [][]byte
}

// An Apt translates Debian repositories. It is safe for concurrent use.
type Apt struct{ keys openpgp.EntityList }

var _ ecosystem.Ecosystem = (*Apt)(nil)

// New returns the ecosystem. Keyrings that cannot be read add no keys.
func New(o Options) *Apt {
	a := &Apt{}
	for _, ring := range o.Keyrings {
		read := openpgp.ReadKeyRing
		if bytes.Contains(ring, []byte("-----BEGIN PGP")) {
			read = openpgp.ReadArmoredKeyRing
		}
		if keys, err := read(bytes.NewReader(ring)); err == nil {
			a.keys = append(a.keys, keys...)
		}
	}
	return a
}

// Profile implements ecosystem.Ecosystem.
func (*Apt) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name: "apt", Title: "apt (Debian, Ubuntu and third parties)",
		Hosts: []string{
			"deb.debian.org", "security.debian.org", "ftp.debian.org", "*.ftp.debian.org", "*.debian.org", "archive.debian.org", "snapshot.debian.org",
			"archive.ubuntu.com", "*.archive.ubuntu.com", "security.ubuntu.com", "ports.ubuntu.com", "old-releases.ubuntu.com", "snapshot.ubuntu.com",
			"ppa.launchpadcontent.net", "ppa.launchpad.net", "changelogs.ubuntu.com",
			"download.docker.com", "apt.postgresql.org", "packages.microsoft.com", "deb.nodesource.com", "apt.llvm.org", "nginx.org",
			"apt.releases.hashicorp.com", "packages.cloud.google.com", "dl.google.com", "artifacts.elastic.co", "repo.mysql.com", "pkgs.k8s.io",
			"packages.sury.org", "cli.github.com", "apt.corretto.aws", "packages.adoptium.net", "repos.azul.com", "archive.raspberrypi.org",
		},
		Mounts:   []ecosystem.Mount{{Path: "/apt/{host}/", Origin: "http://{host}/"}},
		Env:      []ecosystem.Setting{{Name: "APT_CONFIG", Value: "{dir}/apt.conf"}},
		Files:    []ecosystem.File{{Name: "apt.conf", Content: "Acquire::https::CaInfo \"{dir}/ca.pem\";\n"}},
		Verified: "OpenPGP signature of the release → SHA-256 of indexes → SHA-256 of packages and sources",
		Unsupported: []string{"repositories that ask for a client certificate (tunnelled)",
			"flat repositories whose packages lie in other folders than their index (served unvouched)"},
	}
}

// View implements ecosystem.Ecosystem: everything is signed or hashed as a whole.
func (*Apt) View(w io.Writer, doc ecosystem.Body, _ ecosystem.View) error {
	_, err := io.Copy(w, doc.Reader())
	return err
}
