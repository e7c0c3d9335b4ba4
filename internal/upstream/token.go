package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"
	"golang.org/x/sync/singleflight"
)

const (
	tokenLifetime = time.Minute      // of a token whose server says nothing (token specification)
	tokenMargin   = 10 * time.Second // a token is not used when so little of its life is left
	maxToken      = 64 << 10         // bytes of a token server's answer
	maxTokens     = 1000             // that are kept: who gives them says for how long
)

// identityUser is the user name that docker stores with an identity token instead of a password.
const identityUser = "<token>"

// errChallenge is why no token can be asked for.
var errChallenge = errors.New("its log-in challenge cannot be answered")

// A challenge is what a registry wants to see: a token of that realm.
// https://distribution.github.io/distribution/spec/auth/token/
type challenge struct {
	realm          *url.URL
	service, scope string
}

// A token opens one repository of a registry until it expires.
type token struct {
	value   Secret
	expires time.Time
}

// tokens are kept for as long as they are good. The zero value is ready. Safe for
// concurrent use.
type tokens struct {
	mu    sync.Mutex
	known map[string]token
	asked singleflight.Group // a cold image makes a dozen requests at once
}

// get returns the token of a key that is good at that time.
func (t *tokens) get(key string, now time.Time) (Secret, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.known[key]
	if ok && now.Before(k.expires) {
		return k.value, true
	}
	delete(t.known, key)
	return "", false
}

func (t *tokens) put(key string, k token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = make(map[string]token)
	}
	maps.DeleteFunc(t.known, func(_ string, old token) bool { return time.Now().After(old.expires) })
	for old := range t.known {
		if len(t.known) < maxTokens {
			break
		}
		delete(t.known, old) // any: it can be asked for again
	}
	t.known[key] = k
}

// tokenKey names what one token opens: a repository of a registry, to a credential. Of
// other URLs it is "": they are not asked for with tokens.
func tokenKey(a ask) string {
	rest, ok := strings.CutPrefix(a.url.Path, "/v2/")
	if !ok {
		return ""
	}
	name := rest
	for _, kind := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		if i := strings.LastIndex(rest, kind); i >= 0 {
			name = rest[:i]
			break
		}
	}
	user := ""
	if a.cred != nil {
		user = a.cred.Prefix + " " + a.cred.User
	}
	return strings.Join([]string{a.url.Scheme, hostport(a.url), name, user}, " ")
}

// authorize gets the token that a registry wants, after it refused a with a challenge. If
// it wants none, its refusal is the error.
func (c *Client) authorize(ctx context.Context, a ask, refused *http.Response) (Secret, error) {
	key := tokenKey(a)
	ch, found := bearer(refused.Header.Values("WWW-Authenticate"))
	if key == "" || !found {
		return "", &StatusError{URL: Redact(a.url.String()), Status: refused.StatusCode, Header: fields(refused.Header, a.keep)}
	}
	got, err, _ := c.tokens.asked.Do(key, func() (any, error) {
		if now, ok := c.tokens.get(key, time.Now()); ok && now != a.token {
			return now, nil // somebody got one while this request was refused
		}
		// Whoever waits for the same token may wait longer than the first who asked for it.
		k, err := c.ask(context.WithoutCancel(ctx), a, ch)
		if err == nil {
			c.tokens.put(key, k)
		}
		return k.value, err
	})
	if err != nil {
		return "", err
	}
	return got.(Secret), nil
}

// bearer finds the challenge for a token among the values of WWW-Authenticate.
func bearer(values []string) (challenge, bool) {
	for _, v := range values {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(v), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		p := parameters(rest)
		realm, err := url.Parse(p["realm"])
		if err != nil || realm.Host == "" || realm.User != nil {
			continue
		}
		return challenge{realm: realm, service: p["service"], scope: p["scope"]}, true
	}
	return challenge{}, false
}

// parameters reads the parameters of a challenge, names in lower case (RFC 9110, 11.2).
func parameters(s string) map[string]string {
	p := make(map[string]string)
	for {
		name, rest, ok := strings.Cut(s, "=")
		if !ok {
			return p
		}
		value, tail := cutValue(rest)
		p[strings.ToLower(strings.Trim(name, ", \t"))] = value
		s = tail
	}
}

// cutValue splits the value at the beginning of s, a token or a quoted string, from the
// rest. A quoted string that does not end is no value.
func cutValue(s string) (value, rest string) {
	s = strings.TrimLeft(s, " \t")
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		value, rest, _ = unquote(quoted)
		return value, rest
	}
	value, rest, _ = strings.Cut(s, ",")
	return strings.TrimSpace(value), rest
}

// ask gets a token from a realm, for the credential of a if there is one.
func (c *Client) ask(ctx context.Context, a ask, ch challenge) (token, error) {
	ctx, cancel := context.WithTimeout(ctx, headerTimeout)
	defer cancel()
	req, err := c.tokenRequest(a, ch)
	if err != nil {
		return token{}, fmt.Errorf("%w: %s: %w", ErrForbidden, Redact(a.url.String()), err)
	}
	resp, err := c.send(req.WithContext(ctx), &c.asking)
	if err != nil {
		return token{}, err
	}
	defer func() { _ = resp.Body.Close() }() // what matters of it was read
	return readToken(resp, Redact(a.url.String()))
}

// tokenRequest builds the request for a token. A credential goes only to a realm of the
// registry's own domain; an identity token is sent as OAuth 2 has it.
func (c *Client) tokenRequest(a ask, ch challenge) (*http.Request, error) {
	u, form := *ch.realm, ch.realm.Query()
	if u.Scheme != "https" && (u.Scheme != "http" || a.url.Scheme != "http") {
		return nil, fmt.Errorf("%w: its realm %s is not reached over TLS", errChallenge, Redact(u.String()))
	}
	if a.cred != nil && !kin(a.url, &u) {
		return nil, fmt.Errorf("%w: it wants the credential sent to %s, which is of another domain", errChallenge, u.Host)
	}
	req := &http.Request{
		Method: http.MethodGet, URL: &u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {c.agent()}, "Accept": {"application/json"}, "Accept-Encoding": {"identity"}},
	}
	for name, value := range map[string]string{"service": ch.service, "scope": ch.scope} {
		if value != "" {
			form.Set(name, value)
		}
	}
	if a.cred != nil && a.cred.User == identityUser {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", a.cred.Password.Reveal())
		form.Set("client_id", "sutler")
		body := form.Encode()
		req.Method, req.Body, req.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(body)), int64(len(body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return req, nil
	}
	if a.cred != nil {
		form.Set("account", a.cred.User)
		req.Header.Set("Authorization", a.cred.header())
	}
	u.RawQuery = form.Encode()
	return req, nil
}

// readToken reads the answer of a token server.
func readToken(resp *http.Response, subject string) (token, error) {
	if resp.StatusCode != http.StatusOK {
		return token{}, &StatusError{URL: Redact(resp.Request.URL.Scheme + "://" + resp.Request.URL.Host + resp.Request.URL.Path), Status: resp.StatusCode,
			RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	var said struct {
		Token       Secret `json:"token"`
		AccessToken Secret `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"` // seconds
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&said); err != nil {
		return token{}, fmt.Errorf("%w: %s: %w: the answer of %s is no token", ErrInvalid, subject, errChallenge, resp.Request.URL.Host)
	}
	if said.Token == "" {
		said.Token = said.AccessToken
	}
	if said.Token == "" || strings.ContainsAny(said.Token.Reveal(), "\r\n") {
		return token{}, fmt.Errorf("%w: %s: %w: the answer of %s has no token in it", ErrInvalid, subject, errChallenge, resp.Request.URL.Host)
	}
	life := tokenLifetime
	if said.ExpiresIn > 0 {
		life = min(time.Duration(said.ExpiresIn)*time.Second, 24*time.Hour)
	}
	return token{said.Token, time.Now().Add(max(life-tokenMargin, life/2))}, nil
}

// kin reports whether two hosts belong to the same registrable domain, or are the same
// address: a registry may have its log-in beside it, but nobody else gets the credential.
func kin(a, b *url.URL) bool {
	x, y := canonicalHost(a.Hostname()), canonicalHost(b.Hostname())
	if x == y {
		return true
	}
	dx, errX := publicsuffix.EffectiveTLDPlusOne(x)
	dy, errY := publicsuffix.EffectiveTLDPlusOne(y)
	return errX == nil && errY == nil && dx == dy
}
