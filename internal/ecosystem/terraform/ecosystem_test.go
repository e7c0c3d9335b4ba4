package terraform_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"sutler/internal/digest"
	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/terraform"
)

// example knows a registry of its own, so that the cases name no public host.
func example() *terraform.Ecosystem {
	return terraform.New(terraform.Options{Hosts: []string{"registry.example"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }

// TestReleaseHosts checks which documents of public registries are asked about archives on
// public release hosts, and that those may claim them.
func TestReleaseHosts(t *testing.T) {
	hosts := terraform.New(terraform.Options{}).Profile().Hosts
	registry, open, own, code := "https://"+hosts[0], "https://"+hosts[1], "https://"+hosts[2], "https://"+hosts[3]
	const file = "terraform-provider-pad_1.2.0_linux_amd64.zip"
	const doc = "/pad/1.2.0/download/linux/amd64"
	for _, tt := range []struct{ client, url, want string }{
		{"Terraform/1.9.8", own + "/terraform-provider-pad/1.2.0/" + file, registry + "/v1/providers/hashicorp" + doc},
		{"Terraform/1.9.8", code + "/acme/terraform-provider-pad/releases/download/v1.2.0/" + file, registry + "/v1/providers/acme" + doc + " " + open + "/v1/providers/acme" + doc},
		{"OpenTofu/1.8.5", code + "/acme/terraform-provider-pad/releases/download/v1.2.0/" + file, open + "/v1/providers/acme" + doc + " " + registry + "/v1/providers/acme" + doc},
		{"OpenTofu/1.8.5", code + "/opentofu/terraform-provider-pad/releases/download/v1.2.0/" + file, open + "/v1/providers/hashicorp" + doc + " " + open + "/v1/providers/opentofu" + doc},
	} {
		e := terraform.New(terraform.Options{})
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		res, err := e.Classify(ecosystem.Request{Method: "GET", URL: u, Client: tt.client})
		if err != nil || len(res.VouchedBy) == 0 {
			t.Fatalf("%s: %+v, %v", tt.url, res, err)
		}
		var got []string
		for _, v := range res.VouchedBy[:len(res.VouchedBy)-1] {
			got = append(got, v.URL)
			checkClaim(t, e, v, tt.url)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s is vouched for by %q, want %q", tt.url, got, tt.want)
		}
	}
	page := &url.URL{Scheme: "https", Host: hosts[3], Path: "/acme/pad/releases/download/v1/pad.zip"}
	if _, err := example().Classify(ecosystem.Request{Method: "GET", URL: page}); !errors.Is(err, ecosystem.ErrUnknown) {
		t.Errorf("Classify(%s) = %v: other files there are of other ecosystems", page, err)
	}
}

// checkClaim checks that a download document which names the archive claims it.
func checkClaim(t *testing.T, e *terraform.Ecosystem, doc ecosystem.Resource, archive string) {
	t.Helper()
	sum := digest.OfBytes(nil)
	text := `{"download_url":"` + archive + `","shasum":"` + sum.Hex() + `"}`
	var claims []ecosystem.Claim
	_, err := e.Inspect(t.Context(), ecosystem.Body{Resource: doc, ReaderAt: strings.NewReader(text), Size: int64(len(text))}, nil,
		func(c ecosystem.Claim) error { claims = append(claims, c); return nil })
	if err != nil || len(claims) != 1 || claims[0].URL != archive || claims[0].Digest != sum {
		t.Errorf("%s claims %+v, %v", doc.URL, claims, err)
	}
}
