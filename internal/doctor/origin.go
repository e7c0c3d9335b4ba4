package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of what is asked of origins.
const (
	originWithin = 8 * time.Second
	maxToken     = 64 << 10
	maxSkew      = time.Minute
	badSkew      = time.Hour
)

// head asks an origin for the fields of an answer.
func (x *exam) head(ctx context.Context, url, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "sutler-doctor/"+x.Version)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := x.Do(req)
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}

// checkClock compares this machine's clock with an origin's.
func checkClock(ctx context.Context, x *exam) []Finding {
	host := x.host("apt")
	if x.Config.Upstream.Offline || host == "" {
		return skipped("sutler is offline, by configuration")
	}
	ctx, cancel := context.WithTimeout(ctx, originWithin)
	defer cancel()
	asked := x.Now()
	resp, err := x.head(ctx, "http://"+host+"/", "")
	if err != nil {
		return skipped("no origin to compare the clock with: " + err.Error())
	}
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil || resp.Header.Get("Age") != "" {
		return skipped(host + " states no time of its own")
	}
	skew := asked.Sub(theirs).Round(time.Second)
	severity := OK
	switch {
	case skew.Abs() > badSkew:
		severity = Broken
	case skew.Abs() > maxSkew:
		severity = Warning
	default:
		return ok(host, "the clock is right")
	}
	word := "ahead"
	if skew < 0 {
		word = "behind"
	}
	return []Finding{{Severity: severity, Where: host, What: fmt.Sprintf("this machine's clock is %s %s: certificates and signatures may not count", skew.Abs(), word),
		Fix: "set the clock", Command: "timedatectl set-ntp true"}}
}

// previewImage is the image that the registry keeps for looking at the quota.
const previewImage = "ratelimitpreview/test"

// checkQuota asks how many pulls the default registry still grants this address.
func checkQuota(ctx context.Context, x *exam) []Finding {
	host := x.host("oci")
	if x.Config.Upstream.Offline || host == "" {
		return skipped("sutler is offline, by configuration")
	}
	ctx, cancel := context.WithTimeout(ctx, originWithin)
	defer cancel()
	at := "https://" + host + "/v2/" + previewImage + "/manifests/latest"
	resp, err := x.head(ctx, at, "")
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		var token string
		if token, err = x.token(ctx, resp.Header.Get("WWW-Authenticate")); err == nil {
			resp, err = x.head(ctx, at, token)
		}
	}
	if err != nil {
		return skipped("the registry's quota: " + err.Error())
	}
	limit, seconds := rate(resp.Header.Get("RateLimit-Limit"))
	left, _ := rate(resp.Header.Get("RateLimit-Remaining"))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		left = 0
	case resp.StatusCode != http.StatusOK:
		return skipped("the registry's quota: " + resp.Status)
	case limit == 0:
		return ok(host, "the registry states no quota")
	}
	text := fmt.Sprintf("%d of %d pulls left per %s", left, limit, time.Duration(seconds)*time.Second)
	if left*10 >= limit && left > 0 {
		return ok(host, text)
	}
	return []Finding{{Severity: Warning, Where: host, What: text + ", without a login", Fix: "give sutler a login: [[credentials]] with prefix = \"https://" + host + "/\", or upstream.docker_config; what is stored needs no pull",
		Command: "sutler config init"}}
}

// token gets what a registry asks anonymous clients to have.
func (x *exam) token(ctx context.Context, challenge string) (string, error) {
	params, ok := strings.CutPrefix(challenge, "Bearer ")
	if !ok {
		return "", fmt.Errorf("unknown challenge %q", challenge)
	}
	fields := map[string]string{}
	for _, p := range strings.Split(params, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		fields[k] = strings.Trim(v, `"`)
	}
	realm, err := url.Parse(fields["realm"])
	if err != nil || realm.Scheme != "https" {
		return "", fmt.Errorf("the registry sends clients to %q for a token", fields["realm"])
	}
	realm.RawQuery = url.Values{"service": {fields["service"]}, "scope": {"repository:" + previewImage + ":pull"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, realm.String(), http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := x.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	var answer struct{ Token string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&answer); err != nil {
		return "", fmt.Errorf("token of the registry: %w", err)
	}
	return answer.Token, nil
}

// rate reads "100;w=21600": a number, and the seconds that it is for.
func rate(field string) (n, seconds int) {
	count, window, _ := strings.Cut(field, ";")
	n, _ = strconv.Atoi(strings.TrimSpace(count)) // absent: 0
	_, window, _ = strings.Cut(window, "w=")
	seconds, _ = strconv.Atoi(window)
	return n, seconds
}
