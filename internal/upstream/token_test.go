package upstream_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"sutler/internal/freshness"
	"sutler/internal/upstream"
)

// A registry wants a token for each repository, and counts what it is asked.
type registry struct {
	*httptest.Server
	mu       sync.Mutex
	realm    string // "" for its own
	password string // of user "me", for what lies under team/; "" if nobody gets in
	asked    []string
}

func newRegistry(t *testing.T) *registry {
	r := &registry{}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.URL.Path == "/token" {
		if err := req.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		user, password, _ := req.BasicAuth()
		scope := req.Form.Get("scope")
		r.asked = append(r.asked, strings.TrimSpace(fmt.Sprint(req.Method, " ", scope, " ", user)))
		private := strings.Contains(scope, ":team/")
		identity := req.Method == http.MethodPost && req.PostForm.Get("refresh_token") == r.password
		if private && !(user == "me" && password == r.password || identity) || req.Form.Get("service") != "toy" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": "for " + scope, "expires_in": 300})
		return
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/manifests/")
	scope := "repository:" + name + ":pull"
	if req.Header.Get("Authorization") != "Bearer for "+scope {
		realm := r.realm
		if realm == "" {
			realm = r.URL + "/token"
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s",service="toy",scope="%s"`, realm, scope))
		http.Error(w, "log in", http.StatusUnauthorized)
		return
	}
	_, _ = fmt.Fprint(w, "manifest of "+name)
}

// client returns a client that may reach the registries.
func client(t *testing.T, all ...*registry) *upstream.Client {
	c := &upstream.Client{AllowLoopback: func(hostport string) bool {
		return slices.ContainsFunc(all, func(r *registry) bool { return r.URL == "http://"+hostport })
	}}
	t.Cleanup(c.Close)
	return c
}

// TestToken gets a token for each repository, once, however many ask at the same time.
func TestToken(t *testing.T) {
	r := newRegistry(t)
	c := client(t, r)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, body, err := get(t, c, r.URL+"/v2/library/app/manifests/1"); err != nil || body != "manifest of library/app" {
				t.Errorf("get = %q, %v", body, err)
			}
		})
	}
	wg.Wait()
	if _, _, err := get(t, c, r.URL+"/v2/library/other/manifests/1"); err != nil {
		t.Error(err)
	}
	seen := map[string]int{}
	for _, a := range r.asked {
		seen[a]++
	}
	if len(seen) != 2 || seen["GET repository:library/other:pull"] != 1 || seen["GET repository:library/app:pull"] != 1 {
		t.Errorf("tokens were asked for: %v", seen)
	}
}

// TestTokenOfCredential logs in with the credential of the configuration, in both ways.
func TestTokenOfCredential(t *testing.T) {
	r := newRegistry(t)
	r.password = "secret"
	for user, want := range map[string]string{"me": "GET repository:team/app:pull me", "<token>": "POST repository:team/app:pull"} {
		c := client(t, r)
		res := artifact(r.URL + "/v2/team/app/manifests/1")
		if _, err := c.Fetch(t.Context(), res, freshness.Validator{}); !errors.Is(err, upstream.ErrForbidden) {
			t.Errorf("without a credential: %v", err)
		}
		c.Credentials = []upstream.Credential{{Prefix: r.URL + "/", User: user, Password: "secret"}}
		res.Scope = c.Scope(res.URL)
		resp, err := c.Fetch(t.Context(), res, freshness.Validator{})
		if err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if got := r.asked[len(r.asked)-1]; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
	}
}

// TestTokenStaysInTheDomain sends a credential to no realm of somebody else.
func TestTokenStaysInTheDomain(t *testing.T) {
	r := newRegistry(t)
	c := client(t, r)
	c.Credentials = []upstream.Credential{{Prefix: r.URL + "/", User: "me", Password: "secret"}}
	for realm, says := range map[string]string{
		"https://evil.example/token":                              "another domain",
		strings.Replace(r.URL, "127.0.0.1", "127.0.0.2", 1) + "/": "another domain",
	} {
		r.realm = realm
		res := artifact(r.URL + "/v2/team/app/manifests/1")
		res.Scope = c.Scope(res.URL)
		_, err := c.Fetch(t.Context(), res, freshness.Validator{})
		if !errors.Is(err, upstream.ErrForbidden) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("realm %s: %v", realm, err)
		}
	}
}

// TestHelper asks the program that keeps a credential, once in a while.
func TestHelper(t *testing.T) {
	r := newRegistry(t)
	r.password = "secret"
	dir := t.TempDir()
	script := "#!/bin/sh\necho called >>" + dir + "/calls\nread server\n" +
		`[ "$1 $server" = "get ` + strings.TrimPrefix(r.URL, "http://") + `" ] || exit 1` + "\n" +
		`echo '{"ServerURL":"x","Username":"me","Secret":"secret"}'` + "\n"
	if err := os.WriteFile(dir+"/docker-credential-toy", []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c := client(t, r)
	var err error
	c.Credentials, err = upstream.ReadDockerConfig(strings.NewReader(`{"credHelpers":{"`+strings.TrimPrefix(r.URL, "http://")+`":"toy"}}`),
		func(host string) string { return "http://" + host + "/" })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		res := artifact(r.URL + "/v2/team/app/manifests/1")
		res.Scope = c.Scope(res.URL)
		resp, err := c.Fetch(t.Context(), res, freshness.Validator{})
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	if calls, err := os.ReadFile(dir + "/calls"); err != nil || string(calls) != "called\n" {
		t.Errorf("the helper was run %q times, %v", calls, err)
	}
	c.Credentials, err = upstream.ReadDockerConfig(strings.NewReader(`{"credHelpers":{"`+strings.TrimPrefix(r.URL, "http://")+`":"missing"}}`),
		func(host string) string { return "http://" + host + "/" })
	if err != nil {
		t.Fatal(err)
	}
	res := artifact(r.URL + "/v2/team/app/manifests/1")
	res.Scope = c.Scope(res.URL)
	if _, err := c.Fetch(t.Context(), res, freshness.Validator{}); !errors.Is(err, upstream.ErrForbidden) || !strings.Contains(err.Error(), "docker-credential-missing") {
		t.Errorf("a helper that is not there: %v", err)
	}
}
