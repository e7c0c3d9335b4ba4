package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"sutler/internal/ecosystem/composer"
	"sutler/internal/ecosystem/conda"
	"sutler/internal/ecosystem/helm"
	hexpm "sutler/internal/ecosystem/hex"
	"sutler/internal/ecosystem/huggingface"
	"sutler/internal/ecosystem/nuget"
	"sutler/internal/ecosystem/pub"
	"sutler/internal/ecosystem/terraform"
)

// hexHost is a private repository of Hex: nobody but the public one can sign for it.
const hexHost = "hex.example"

// A thin is a package of an ecosystem, for which curl asks in place of the real client.
type thin struct {
	name     string
	agent    string            // User-Agent of the client
	files    map[string]string // what the origin has, by URL without scheme
	artifact string            // one of files, which is asked for alone, as lock files do
	voucher  string            // one of files, which states its digest; "" if none does
	field    string            // a field of the answer that must be passed on
	document string            // path at the native endpoint
	link     string            // path at the native endpoint that the document must lead to

	anonymous bool     // a credential of the client goes nowhere
	named     bool     // its name states its digest, or another proof of it
	first     []string // what clients have asked for before; some of files

	base string // what goes before the names of files in URLs; "" is "https://"
}

// hosts returns the hosts of a thin's files.
func (c thin) hosts() []string {
	seen := map[string]bool{}
	var out []string
	for name := range c.files {
		host, _, _ := strings.Cut(name, "/")
		if !seen[host] {
			seen[host] = true
			out = append(out, host)
		}
	}
	return out
}

// thins is one package of each ecosystem whose clients fewer tests run.
func thins() []thin {
	php := composer.New(composer.Options{}).Profile().Hosts
	charts := helm.New(helm.Options{}).Profile().Hosts[0]
	channels := conda.New(conda.Options{}).Profile().Hosts[0]
	feed := nuget.New(nuget.Options{}).Profile().Hosts[0]
	tf := terraform.New(terraform.Options{}).Profile().Hosts
	dart := pub.New(pub.Options{}).Profile().Hosts[0]
	hub := huggingface.New(huggingface.Options{}).Profile().Hosts[0]
	commit := strings.Repeat("0123456789", 4)
	zip := "terraform-provider-pad_1.2.0_linux_amd64.zip"
	wide := sha512.Sum512([]byte(bytesOf(nuget.Name)))
	leaf, catalog := feed+"/v3/registration5-semver1/left.pad/1.2.0.json", feed+"/v3/catalog0/data/2026.01.02/left.pad.1.2.0.json"
	return []thin{
		{
			name: composer.Name, agent: "Composer/2.5.5",
			files: map[string]string{
				php[2] + "/repos/acme/pad/zipball/" + commit: bytesOf(composer.Name),
				php[0] + "/packages.json":                    `{"metadata-url":"/p2/%package%.json"}`,
			},
			artifact: php[2] + "/repos/acme/pad/zipball/" + commit,
			document: "/composer/packages.json", link: "/composer/p2/%package%.json",
		},
		{
			name: helm.Name, agent: "Helm/3.19.2",
			files: map[string]string{
				charts + "/stable/pad-1.2.0.tgz": bytesOf(helm.Name),
				charts + "/stable/index.yaml":    "entries:\n  pad:\n  - version: 1.2.0\n    digest: " + sumOf(helm.Name) + "\n    urls: [https://" + charts + "/stable/pad-1.2.0.tgz]\n",
			},
			artifact: charts + "/stable/pad-1.2.0.tgz", voucher: charts + "/stable/index.yaml",
			document: "/helm/" + charts + "/stable/index.yaml", link: "/helm/" + charts + "/stable/pad-1.2.0.tgz",
		},
		{
			name: conda.Name, agent: "conda/24.11.0 requests/2.32.3",
			files: map[string]string{
				channels + "/forge/noarch/pad-1.2-py_0.conda": bytesOf(conda.Name),
				channels + "/forge/noarch/repodata.json":      fmt.Sprintf(`{"packages.conda":{"pad-1.2-py_0.conda":{"sha256":"%s","size":%d}}}`, sumOf(conda.Name), len(bytesOf(conda.Name))),
			},
			artifact: channels + "/forge/noarch/pad-1.2-py_0.conda", voucher: channels + "/forge/noarch/repodata.json",
			document: "/conda/forge/noarch/repodata.json",
		},
		{
			name: nuget.Name, agent: "NuGet .NET Core MSBuild Task/6.11.0 (Linux)",
			files: map[string]string{
				feed + "/v3-flatcontainer/left.pad/1.2.0/left.pad.1.2.0.nupkg": bytesOf(nuget.Name),
				leaf:                    `{"catalogEntry":"https://` + catalog + `"}`,
				catalog:                 `{"id":"Left.Pad","packageHashAlgorithm":"SHA512","packageHash":"` + base64.StdEncoding.EncodeToString(wide[:]) + `"}`,
				feed + "/v3/index.json": `{"resources":[{"@id":"https://` + feed + `/v3-flatcontainer/"}]}`,
			},
			artifact: feed + "/v3-flatcontainer/left.pad/1.2.0/left.pad.1.2.0.nupkg", voucher: leaf,
			document: "/nuget/v3/index.json", link: "/nuget/v3-flatcontainer/",
		},
		{
			name: terraform.Name, agent: "Terraform/1.9.8",
			files: map[string]string{
				tf[2] + "/terraform-provider-pad/1.2.0/" + zip:                   bytesOf(terraform.Name),
				tf[0] + "/v1/providers/hashicorp/pad/1.2.0/download/linux/amd64": `{"download_url":"https://` + tf[2] + "/terraform-provider-pad/1.2.0/" + zip + `","shasum":"` + sumOf(terraform.Name) + `"}`,
			},
			artifact: tf[2] + "/terraform-provider-pad/1.2.0/" + zip, voucher: tf[0] + "/v1/providers/hashicorp/pad/1.2.0/download/linux/amd64",
		},
		{
			name: pub.Name, agent: "Dart pub 3.5.4",
			files: map[string]string{
				dart + "/api/archives/left_pad-1.2.0.tar.gz": bytesOf(pub.Name),
				dart + "/api/packages/left_pad":              `{"name":"left_pad","versions":[{"version":"1.2.0","archive_url":"https://` + dart + `/api/archives/left_pad-1.2.0.tar.gz","archive_sha256":"` + sumOf(pub.Name) + `"}]}`,
			},
			artifact: dart + "/api/archives/left_pad-1.2.0.tar.gz", voucher: dart + "/api/packages/left_pad",
			document: "/pub/api/packages/left_pad", link: "/pub/api/archives/left_pad-1.2.0.tar.gz",
		},
		{
			name: hexpm.Name, agent: "Hex/2.1.1 (Elixir/1.17.3) (OTP/27.1)",
			files: map[string]string{
				hexHost + "/tarballs/pad-1.2.0.tar": bytesOf(hexpm.Name),
				hexHost + "/packages/pad":           hexReleases("pad", "1.2.0", sumOf(hexpm.Name)),
			},
			artifact: hexHost + "/tarballs/pad-1.2.0.tar", voucher: hexHost + "/packages/pad",
		},
		{
			name: huggingface.Name, agent: "unknown/None; hf_hub/0.26.2; python/3.11.2",
			files: map[string]string{
				hub + "/acme/pad/resolve/main/model.onnx":             bytesOf(huggingface.Name),
				hub + "/api/models/acme/pad/revision/main?blobs=true": `{"siblings":[{"rfilename":"model.onnx","lfs":{"sha256":"` + sumOf(huggingface.Name) + `"}}]}`,
			},
			artifact: hub + "/acme/pad/resolve/main/model.onnx", voucher: hub + "/api/models/acme/pad/revision/main?blobs=true",
			field: "X-Repo-Commit: " + commit, document: "/huggingface/api/models/acme/pad/revision/main",
		},
	}
}

// bytesOf are the bytes of an ecosystem's package: those of another would be known already.
func bytesOf(name string) string { return "the bytes of a package of " + name + "\n" }

// sumOf is the SHA-256 of these bytes, in hexadecimal.
func sumOf(name string) string {
	sum := sha256.Sum256([]byte(bytesOf(name)))
	return hex.EncodeToString(sum[:])
}

// hexReleases returns a list of one release, as a repository with an unknown key signs it.
func hexReleases(name, version, sum string) string {
	field := func(b []byte, num protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
	}
	raw, _ := hex.DecodeString(sum) // it was just encoded
	release := field(field(nil, 1, version), 5, string(raw))
	payload := field(field(field(nil, 1, string(release)), 2, name), 3, "acme")
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(field(field(nil, 1, string(payload)), 2, "signature")) // a bytes.Buffer takes everything
	_ = z.Close()
	return out.String()
}
