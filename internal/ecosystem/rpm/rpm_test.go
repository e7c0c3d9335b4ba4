package rpm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
	"sutler/internal/ecosystem/rpm"
)

// sum is some SHA-256.
const sum = "57b321a6545fd6f87d4e786108f79d005018fc8ec37379f2013b5997b8173ca6"

func classify(t *testing.T, method, raw, agent string) (ecosystem.Resource, error) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return rpm.New(rpm.Options{Hosts: []string{"Rpm.Example/repos"}}).Classify(ecosystem.Request{Method: method, URL: u, Client: agent})
}

func TestClassify(t *testing.T) {
	const dnf = "libdnf (Example Linux 40; generic; Linux.x86_64)"
	for _, tt := range []struct {
		url, agent string
		want       error
	}{
		{"https://any.example/x/repodata/repomd.xml", "", nil},
		{"https://any.example/repodata/repomd.xml", "", nil},
		{"https://any.example/x/repodata/comps.xml", "", nil},
		{"https://any.example/x/repodata/" + sum + "-modules.yaml.gz", "", nil},
		{"https://any.example/x/repodata/" + sum + "-appdata-icons.tar.gz", "", nil},
		{"https://any.example/x/repodata/productid.gz", "", nil},
		{"https://any.example/x/repodata/main.go", "", ecosystem.ErrUnknown},
		{"https://any.example/x/repodata/", "", ecosystem.ErrUnknown},
		{"https://any.example/x/repomd.xml", "", ecosystem.ErrUnknown},
		{"https://user@any.example/x/repodata/repomd.xml", "", ecosystem.ErrUnknown},
		{"ftp://any.example/x/repodata/repomd.xml", "", ecosystem.ErrUnknown},
		{"https://any.example/x/tool-1.0-1.noarch.rpm", "", ecosystem.ErrUnknown},
		{"https://any.example/x/tool-1.0-1.noarch.rpm", dnf, nil},
		{"https://any.example/x/tool-1.0-1.noarch.rpm", "urlgrabber/3.10 yum/3.4.3", nil},
		{"https://any.example/x86_64/tool-1.0-1.noarch.rpm", "", nil},
		{"https://any.example/Packages/t/tool-1.0-1.noarch.rpm", "", nil},
		{"https://rpm.example/x/tool-1.0-1.noarch.rpm", "", nil},
		{"https://rpm.example/x/tool_1.0.rpm", dnf, ecosystem.ErrUnknown},
		{"https://rpm.example/x/tool-stable_current_x86_64.rpm", dnf, ecosystem.ErrUnknown},
		{"https://rpm.example/x/RPM-GPG-KEY-EXAMPLE", dnf, ecosystem.ErrUnknown},
		{"https://rpm.example/x/../repodata/repomd.xml", "", ecosystem.ErrRefused},
		{"https://any.example/x/%2e%2e/repodata/repomd.xml", "", ecosystem.ErrUnknown},
		{"https://any.example/x/tool-1_1.1-1.noarch.drpm", "", ecosystem.ErrUnknown},
		{"https://any.example/metalink?repo=x-40", "", ecosystem.ErrUnknown},
		{"https://any.example/mirrorlist?repo=x-40&arch=x86_64&bad=%zz", "", ecosystem.ErrUnknown},
	} {
		if _, err := classify(t, "GET", tt.url, tt.agent); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("Classify(%s) by %q: %v, want %v", tt.url, tt.agent, err, tt.want)
		}
	}
}

// known returns the first host of the profile whose name begins so.
func known(t *testing.T, prefix string) string {
	t.Helper()
	for _, h := range rpm.New(rpm.Options{}).Profile().Hosts {
		if strings.HasPrefix(h, prefix) {
			return h
		}
	}
	t.Fatalf("no host begins with %q", prefix)
	return ""
}

// TestVault checks where the list of CentOS that is gone leads to.
func TestVault(t *testing.T) {
	list, vault := "http://"+known(t, "mirrorlist.")+"/?", "http://"+known(t, "vault.")
	for _, tt := range []struct{ query, want string }{
		{"release=7&arch=x86_64&repo=os&infra=stock", vault + "/7.9.2009/os/x86_64/\n"},
		{"release=7&arch=aarch64&repo=updates", vault + "/altarch/7.9.2009/updates/aarch64/\n"},
		{"release=7&arch=x86_64&repo=sclo-rh", vault + "/7.9.2009/sclo/x86_64/rh/\n"},
		{"release=6&arch=i386&repo=os", vault + "/6.10/os/i386/\n"},
		{"release=8&arch=aarch64&repo=BaseOS", vault + "/8.5.2111/BaseOS/aarch64/os/\n"},
		{"release=8-stream&arch=x86_64&repo=AppStream", vault + "/8-stream/AppStream/x86_64/os/\n"},
		{"release=5&arch=x86_64&repo=os", ""},
		{"release=7&arch=x86_64&repo=..%2f..", ""},
		{"release=7&arch=x86_64", ""},
	} {
		res, err := classify(t, "GET", list+tt.query, "")
		if string(res.Literal) != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s is answered with %q, %v; want %q", tt.query, res.Literal, err, tt.want)
		}
	}
}

// TestMirrors checks which mirrors clients get through a proxy, where no link changes.
func TestMirrors(t *testing.T) {
	e := rpm.New(rpm.Options{})
	own := known(t, "dl.")
	for _, tt := range []struct{ list, want string }{
		{"", ""},
		{"https://b.example/9/\nhttps://a.example/9/\n", "https://a.example/9/\nhttps://b.example/9/\n"},
		{"https://a.example/9/\nhttp://b.example/9/\n", "http://b.example/9/\nhttps://a.example/9/\n"},
		{"http://a.example/9/\nhttp://" + own + "/9/\nhttps://" + own + "/9/\n", "https://" + own + "/9/\nhttp://" + own + "/9/\nhttp://a.example/9/\n"},
		{"http://d.example/9/\nhttp://c.example/9/\nhttp://b.example/9/\nhttp://a.example/9/\n", "http://a.example/9/\nhttp://b.example/9/\nhttp://c.example/9/\n"},
		{"ftp://a.example/9/\nrsync://a.example/9/\nhttp://u:p@a.example/9/\n", ""},
	} {
		doc := document(t, e, "https://lists.example/mirrorlist?repo=x&arch=y", []byte(tt.list))
		var out bytes.Buffer
		if err := e.View(&out, doc, ecosystem.View{Link: func(s string) string { return s }}); err != nil || out.String() != tt.want {
			t.Errorf("of\n%s clients get\n%s%v; want\n%s", tt.list, out.String(), err, tt.want)
		}
	}
}

// TestBounds checks that documents which no client could read are refused early.
func TestBounds(t *testing.T) {
	e := rpm.New(rpm.Options{})
	index := func(s string) string { return "<repomd>" + s + "</repomd>" }
	entry := `<data type="x"><checksum type="sha256">` + sum + `</checksum><location href="repodata/x%d.xml"/></data>`
	var many strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&many, entry, i)
	}
	for name, s := range map[string]string{
		"deep":        index(strings.Repeat("<a>", 20) + strings.Repeat("</a>", 20)),
		"long tag":    index(`<a b="` + strings.Repeat("x", 2<<20) + `"/>`),
		"long text":   index(strings.Repeat("x", 2<<20)),
		"two roots":   index("") + index(""),
		"crossed":     "<repomd><a></repomd></a>",
		"many":        index(many.String()),
		"empty":       "",
		"not UTF-8":   "<?xml version=\"1.0\" encoding=\"UTF-16\"?><repomd/>",
		"bad size":    index(`<data type="x"><size>-1</size></data>`),
		"above":       index(`<data type="x"><checksum type="sha256">` + sum + `</checksum><location href="../../../../x"/></data>`),
		"backslashed": index(`<data type="x"><checksum type="sha256">` + sum + `</checksum><location href="repodata/..\x.xml"/></data>`),
	} {
		t.Run(name, func(t *testing.T) {
			doc := document(t, e, "https://any.example/a/b/repodata/repomd.xml", []byte(s))
			if _, err := e.Inspect(t.Context(), doc, nil, func(ecosystem.Claim) error { return nil }); !errors.Is(err, ecosystem.ErrInvalid) {
				t.Errorf("Inspect: %v, want ErrInvalid", err)
			}
		})
	}
}

// TestNoKeys checks that nobody is asked for a signature that no key could have made.
func TestNoKeys(t *testing.T) {
	e := rpm.New(rpm.Options{})
	doc := document(t, e, "https://any.example/repodata/repomd.xml", []byte("<repomd/>"))
	ev, err := e.Inspect(t.Context(), doc, nil, nil) // a nil Source would be called
	if err != nil || ev.Signer != "" || ev.Note == "" {
		t.Errorf("Inspect = %+v, %v; want a note that nothing was checked", ev, err)
	}
}

// TestCut checks that what packages offer is left out wherever the reads end.
func TestCut(t *testing.T) {
	e := rpm.New(rpm.Options{})
	for _, pad := range []int{0, 1, 65_000, 65_400, 65_500, 65_520, 65_530, 65_536, 131_000} {
		one := func(n int) string {
			return fmt.Sprintf(`<package><checksum type="sha256">%s</checksum><location href="p-%d-1.x.rpm"/><format>%s</format></package>`, sum, n, strings.Repeat("<a/>", pad/7))
		}
		text := "<metadata><!--" + strings.Repeat("x", pad) + "-->" + one(1) + one(2) + "</metadata>"
		n := 0
		doc := document(t, e, "https://any.example/repodata/primary.xml", []byte(text))
		_, err := e.Inspect(t.Context(), doc, nil, func(ecosystem.Claim) error { n++; return nil })
		if err != nil || n != 2 {
			t.Errorf("padding of %d: %d claims, %v; want 2", pad, n, err)
		}
		doc = document(t, e, "https://any.example/repodata/primary.xml", []byte(text[:len(text)-len("</format></package></metadata>")]))
		if _, err := e.Inspect(t.Context(), doc, nil, func(ecosystem.Claim) error { return nil }); !errors.Is(err, ecosystem.ErrInvalid) {
			t.Errorf("padding of %d, cut off: %v, want ErrInvalid", pad, err)
		}
	}
}

// TestCancelled checks that who waits no longer need not wait for a large index.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := rpm.New(rpm.Options{})
	doc := document(t, e, "https://any.example/repodata/primary.xml", []byte("<metadata/>"))
	if _, err := e.Inspect(ctx, doc, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Inspect: %v, want context.Canceled", err)
	}
}
