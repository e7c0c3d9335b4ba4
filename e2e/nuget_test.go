package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"sutler/internal/ecosystem/nuget"
)

// TestNuGetCompressed asks, as dotnet does, for a package of a version of SemVer 2: the only
// registrations that have it come compressed to everybody. They vouch for the package, and
// clients get them, plain, by interception and at the native endpoint, with the feed gone too.
func TestNuGetCompressed(t *testing.T) {
	need(t, "curl")
	origin := newPublicOrigin(t)
	feed := nuget.New(nuget.Options{}).Profile().Hosts[0]
	const version, text = "1.2.0-beta.1", "the bytes of a package of SemVer 2\n"
	archive := feed + "/v3-flatcontainer/left.pad/" + version + "/left.pad." + version + ".nupkg"
	hive := feed + "/v3/registration5-gz-semver2/left.pad/"
	catalog := feed + "/v3/catalog0/data/2026.01.02/left.pad." + version + ".json"
	sum := sha512.Sum512([]byte(text))
	origin.put(archive, []byte(text))
	origin.put(catalog, []byte(`{"id":"Left.Pad","packageHashAlgorithm":"SHA512","packageHash":"`+base64.StdEncoding.EncodeToString(sum[:])+`"}`))
	for file, body := range map[string]string{
		version + ".json": `{"catalogEntry":"https://` + catalog + `"}`,
		"index.json":      `{"items":[{"@id":"https://` + hive + `page/1.0.0/` + version + `.json"}]}`,
	} {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(body)) // a bytes.Buffer takes everything
		_ = z.Close()                // as above
		origin.put(hive+file, b.Bytes())
		origin.head[hive+file] = http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"application/json"}}
	}
	d := start(t, origin.settings(t, feed)...)
	curl := []string{"curl", "-sS", "--fail", "-A", "NuGet .NET Core MSBuild Task/6.11.0 (Linux)", "-H", "Accept-Encoding: gzip, deflate"}
	origin.tamper(archive, true)
	if r := d.run(d.dir, nil, binary, append(append([]string{"exec", "--"}, curl...), "https://"+archive)...); r.code == 0 || d.last().Failed != 1 {
		t.Errorf("wrong bytes: exit %d\n%+v", r.code, d.last())
	}
	origin.tamper(archive, false)
	check := func() {
		t.Helper()
		r, s := d.through(d.dir, append(curl, "https://"+archive)...)
		if r.out != text || s.Verified != 1 || !strings.HasSuffix(s.Lines[0].Voucher, hive+version+".json") {
			t.Errorf("%q, %+v", r.out, s)
		}
		if r, s = d.through(d.dir, append(curl, "https://"+hive+"index.json")...); !strings.Contains(r.out, "https://"+hive+"page/") || s.Failed > 0 {
			t.Errorf("index: %q, %+v", r.out, s)
		}
		native := "http://" + d.addr + "/nuget/v3/registration5-gz-semver2/left.pad/"
		if got := d.must(d.dir, nil, "curl", append(curl[1:], native+"index.json")...).out; !strings.Contains(got, native+"page/1.0.0/") {
			t.Errorf("at the endpoint: %q", got)
		}
	}
	check()
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	check()
}
