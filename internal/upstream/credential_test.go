package upstream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"sutler/internal/freshness"
	"sutler/internal/upstream"
	"sutler/internal/upstream/origintest"
)

const canary = "CANARY-7f3a"

func TestSecretIsNeverShown(t *testing.T) {
	c := upstream.Credential{Prefix: "https://registry.example/", User: "u", Password: canary, Token: canary}
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "c", c, "s", c.Token)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "c", c, "s", c.Token)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+verb+verb, c, &c, c.Token)
	}
	j, err := json.Marshal([]any{c, c.Token, &c})
	if err != nil {
		t.Fatal(err)
	}
	b.Write(j)
	for _, shown := range []string{canary, fmt.Sprintf("%x", canary)} {
		if strings.Contains(b.String(), shown) {
			t.Errorf("secret shown in %s", b.String())
		}
	}
	if !strings.Contains(b.String(), "***") || c.Token.Reveal() != canary || upstream.Secret("").String() != "" {
		t.Errorf("%s", b.String())
	}
}

func TestScope(t *testing.T) {
	c := &upstream.Client{Credentials: []upstream.Credential{
		{Prefix: "https://registry.example/private", User: "narrow", Password: canary},
		{Prefix: "https://registry.example", Token: canary},
		{Prefix: "https://registry.example/private/team/", User: "narrowest", Password: canary},
		{Prefix: "http://plain.example:8080/", User: "plain", Password: canary},
	}}
	host, private, team := c.Scope("https://registry.example/"), c.Scope("https://registry.example/private/x"), c.Scope("https://registry.example/private/team/x")
	plain := c.Scope("http://plain.example:8080/x")
	seen := map[string]bool{"": true}
	for _, s := range []string{host, private, team, plain} {
		if seen[s] || strings.Contains(s, canary) {
			t.Errorf("scopes %q %q %q %q are not four", host, private, team, plain)
		}
		seen[s] = true
	}
	for _, tt := range []struct{ url, want string }{
		{"https://REGISTRY.example:443/private", private},
		{"https://registry.example./private/", private},
		{"https://registry.example/privateer", host},
		{"https://registry.example/private/teams", private},
		{"https://registry.example/private/team", team},
		{"https://registry.example/%70rivate/x", private},
		{"https://registry.example/private/../public", ""},
		{"https://registry.example/private/%2e%2e/public", ""},
		{"https://registry.example/private/..%2fpublic", ""},
		{`https://registry.example/private/..%5cpublic`, ""},
		{"https://registry.example/left-pad-1.0.0..tgz", host},
		{"http://registry.example/private/x", ""},
		{"https://registry.example:8443/private/x", ""},
		{"https://registry.example.evil.example/", ""},
		{"https://registry.example@evil.example/", ""},
		{"https://plain.example:8080/", ""},
		{"http://plain.example/", ""},
		{"://", ""},
	} {
		if got := c.Scope(tt.url); got != tt.want {
			t.Errorf("Scope(%q) = %q, want %q", tt.url, got, tt.want)
		}
	}
	renewed := &upstream.Client{Credentials: []upstream.Credential{{Prefix: "https://registry.example", Token: "new"}}}
	if got := renewed.Scope("https://registry.example/"); got != host {
		t.Errorf("scope changed with the secret: %q, was %q", got, host)
	}
}

// A credential goes to its own origin and prefix, whatever servers say.
func TestCredentialStays(t *testing.T) {
	home, other := origintest.New(t), origintest.New(t)
	for _, o := range []*origintest.Origin{home, other} {
		o.File("/private/x", "body")
		o.File("/public/x", "body")
	}
	home.Behave("/private/inside", origintest.Redirect("/private/x"))
	home.Behave("/private/outside", origintest.Redirect("/public/x"))
	home.Behave("/private/dots", origintest.Redirect("/private/%2e%2e/public/x"))
	home.Behave("/private/away", origintest.Redirect(other.URL("/private/x")))
	home.Behave("/private/userinfo", origintest.Redirect(strings.Replace(other.URL("/private/x"), "://", "://"+canary+":"+canary+"@", 1)))
	home.Behave("/open/away", origintest.Redirect(other.URL("/private/x")))
	home.Behave("/open/inside", origintest.Redirect("/private/x"))
	c := newClient(t, home, other)
	c.Credentials = []upstream.Credential{
		{Prefix: home.URL("/private/"), Token: canary},
		{Prefix: other.URL("/private/"), Token: "other"},
	}
	for _, tt := range []struct {
		name, path string
		last       *origintest.Origin
		lastPath   string
		noScope    bool
		want       string // Authorization at the last hop
	}{
		{"no redirect", "/private/x", home, "/private/x", false, "Bearer " + canary},
		{"scope not set", "/private/x", home, "/private/x", true, ""},
		{"within the prefix", "/private/inside", home, "/private/x", false, "Bearer " + canary},
		{"out of the prefix", "/private/outside", home, "/public/x", false, ""},
		{"to another host", "/private/away", other, "/private/x", false, ""},
		{"to another host with userinfo", "/private/userinfo", other, "/private/x", false, ""},
		{"from anonymous to another credential", "/open/away", other, "/private/x", false, ""},
		{"from anonymous into the prefix", "/open/inside", home, "/private/x", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res := artifact(home.URL(tt.path))
			if !tt.noScope {
				res.Scope = c.Scope(res.URL)
			}
			resp, err := c.Fetch(t.Context(), res, freshness.Validator{})
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			all := tt.last.Requests(tt.lastPath)
			if got := all[len(all)-1].Header.Get("Authorization"); got != tt.want {
				t.Errorf("Authorization = %q, want %q", got, tt.want)
			}
			if strings.Contains(resp.URL, canary) {
				t.Errorf("URL = %q", resp.URL)
			}
		})
	}
	if _, _, err := get(t, c, home.URL("/private/dots")); err != nil && !errors.Is(err, upstream.ErrNotFound) {
		t.Error(err)
	}
	for _, o := range []*origintest.Origin{home, other} {
		for _, p := range []string{"/public/x", "/open/away"} {
			for _, r := range o.Requests(p) {
				if r.Header.Get("Authorization") != "" {
					t.Errorf("%s got %q", r.URL, r.Header.Get("Authorization"))
				}
			}
		}
	}
}

func TestUserinfoIsNotSent(t *testing.T) {
	o := origintest.New(t)
	c := newClient(t, o)
	o.File("/x", "body")
	resp, _, err := get(t, c, strings.Replace(o.URL("/x"), "://", "://user:"+canary+"@", 1))
	if err != nil || resp.URL != o.URL("/x") {
		t.Fatalf("Fetch = %+v, %v", resp, err)
	}
	if h := o.Requests("/x")[0].Header; h.Get("Authorization") != "" {
		t.Errorf("sent %v", h)
	}
}

func TestCredentialValidate(t *testing.T) {
	for _, tt := range []struct {
		c  upstream.Credential
		ok bool
	}{
		{upstream.Credential{Prefix: "https://registry.example", Token: canary}, true},
		{upstream.Credential{Prefix: "http://registry.example:81/a/", User: "u", Password: canary}, true},
		{upstream.Credential{Prefix: "registry.example", Token: canary}, false},
		{upstream.Credential{Prefix: "ftp://registry.example", Token: canary}, false},
		{upstream.Credential{Prefix: "https://u:" + canary + "@registry.example", Token: canary}, false},
		{upstream.Credential{Prefix: "https://registry.example/?a", Token: canary}, false},
		{upstream.Credential{Prefix: "https://registry.example/a/../b", Token: canary}, false},
		{upstream.Credential{Prefix: "https://registry.example"}, false},
	} {
		err := tt.c.Validate()
		if (err == nil) != tt.ok {
			t.Errorf("Validate(%q) = %v", tt.c.Prefix, err)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("error shows the secret: %v", err)
		}
	}
}

// pairs writes credentials with their secrets, to compare.
func pairs(all []upstream.Credential) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "%s %s:%s|%s\n", c.Prefix, c.User, c.Password.Reveal(), c.Token.Reveal())
	}
	return b.String()
}

func TestReadNetrc(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"one line", "machine a.example login u password p", "https://a.example/ u:p|\n"},
		{"many lines", "machine A.example\n\tlogin u\n\tpassword p\nmachine b.example:8443 login v password q\n", "https://a.example/ u:p|\nhttps://b.example:8443/ v:q|\n"},
		{"quoted", `machine a.example login "u v" password "p\"\\q"`, "https://a.example/ u v:p\"\\q|\n"},
		{"hash in a password", "machine a.example login u password p#q # comment", "https://a.example/ u:p#q|\n"},
		{"default is left out", "default login u password p\nmachine a.example login u password p", "https://a.example/ u:p|\n"},
		{"default last", "machine a.example login u password p\ndefault login v password q", "https://a.example/ u:p|\n"},
		{"macro", "machine a.example login u password p\nmacdef init\nmachine evil.example login x password y\n\nmachine b.example login v password q", "https://a.example/ u:p|\nhttps://b.example/ v:q|\n"},
		{"account", "machine a.example login u account x password p", "https://a.example/ u:p|\n"},
		{"empty", "# nothing\n\n", ""},
		{"machine alone", "machine a.example", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := upstream.ReadNetrc(strings.NewReader(tt.in))
			if err != nil || pairs(got) != tt.want {
				t.Errorf("ReadNetrc = %q, %v, want %q", pairs(got), err, tt.want)
			}
		})
	}
	for _, in := range []string{
		"machine a.example login u " + canary + " x",
		"machine a.example login u password",
		`machine a.example login u password "` + canary,
		"machine a.example/" + canary + " login u password p",
		"machine u@" + canary + " login u password p",
	} {
		got, err := upstream.ReadNetrc(strings.NewReader(in))
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("ReadNetrc(%q) = %v, %v, want an error without secrets", in, got, err)
		}
	}
}

// overTLS is where a registry is asked.
func overTLS(host string) string { return "https://" + host + "/" }

func TestReadDockerConfig(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"auth", `{"auths":{"registry.example":{"auth":"dTpwOnE="}}}`, "https://registry.example/ u:p:q|\n"},
		{"port", `{"auths":{"registry.example:5000":{"auth":"dTpw"}}}`, "https://registry.example:5000/ u:p|\n"},
		{"old key", `{"auths":{"https://index.example/v1/":{"auth":"dTpw"}}}`, "https://index.example/ u:p|\n"},
		{"plain http", `{"auths":{"http://registry.example":{"auth":"dTpw"}}}`, "http://registry.example/ u:p|\n"},
		{"namespace", `{"auths":{"registry.example/org":{"auth":"dTpw"}}}`, "https://registry.example/v2/org/ u:p|\n"},
		{"words", `{"auths":{"registry.example":{"username":"u","password":"p"}}}`, "https://registry.example/ u:p|\n"},
		{"token", `{"auths":{"registry.example":{"registrytoken":"t"}}}`, "https://registry.example/ :|t\n"},
		{"helper keeps it", `{"auths":{"registry.example":{}},"credsStore":"desktop"}`, "https://registry.example/ :|\n"},
		{"helper of one", `{"auths":{},"credHelpers":{"registry.example":"cloud-login"}}`, "https://registry.example/ :|\n"},
		{"nobody keeps it", `{"auths":{"registry.example":{}}}`, ""},
		{"identity token", `{"auths":{"registry.example":{"auth":"PHRva2VuPjo=","identitytoken":"t"}}}`, "https://registry.example/ <token>:t|\n"},
		{"none", `{}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := upstream.ReadDockerConfig(strings.NewReader(tt.in), overTLS)
			if err != nil || pairs(got) != tt.want {
				t.Errorf("ReadDockerConfig = %q, %v, want %q", pairs(got), err, tt.want)
			}
		})
	}
	for _, in := range []string{
		canary,
		`{"auths":{"registry.example":{"auth":"` + canary + `!"}}}`,
		`{"auths":{"registry.example":{"auth":["` + canary + `"]}}}`,
		`{"auths":{"https://u:` + canary + `@registry.example":{"auth":"dTpw"}}}`,
		`{"auths":{"registry.example/a/../b":{"auth":"dTpw"}}}`,
		`{"credHelpers":{"registry.example":"../../bin/sh"}}`,
	} {
		got, err := upstream.ReadDockerConfig(strings.NewReader(in), overTLS)
		if err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("ReadDockerConfig(%q) = %v, %v, want an error without secrets", in, got, err)
		}
	}
}

func TestRedact(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"https://registry.example/a?b=c&d", "https://registry.example/a?b=c&d"},
		{"https://registry.example/a%2fb?x=%20", "https://registry.example/a%2fb?x=%20"},
		{"https://u:p@registry.example/a#t", "https://registry.example/a"},
		{"https://token@registry.example/", "https://registry.example/"},
		{"https://cdn.example/a?X-Amz-Signature=s&x-amz-date=d&k=v", "https://cdn.example/a?k=v"},
		{"https://cdn.example/a?se=1&sig=s&sp=r", "https://cdn.example/a"},
		{"https://cdn.example/a?Expires=1&Policy=p&Signature=s&Key-Pair-Id=k", "https://cdn.example/a"},
		{"https://cdn.example/a?%53ig=s&a=1", "https://cdn.example/a?a=1"},
		{"https://cdn.example/a?access_token=s;a=1", "https://cdn.example/a?a=1"},
		{"https://cdn.example/a?a=%zz&b=1", "https://cdn.example/a?b=1"},
		{"https://cdn.example/a?next=https://u:p@h/", "https://cdn.example/a"},
		{"https://cdn.example/a?next=https%3A%2F%2Fu%3Ap%40h%2F&b=1", "https://cdn.example/a?b=1"},
		{"https://cdn.example/a?private_token", "https://cdn.example/a"},
		{"https://u:p@%zz/", "(invalid URL)"},
		{"mailto:u:p@host", "(invalid URL)"},
		{"", ""},
	} {
		if got := upstream.Redact(tt.in); got != tt.want {
			t.Errorf("Redact(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
