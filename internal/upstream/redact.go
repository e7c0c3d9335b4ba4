package upstream

import (
	"net/url"
	"strings"
)

// secretParams are query parameters, in lower case, whose value is a secret or part of a
// signature that grants access to whoever has the URL.
var secretParams = map[string]bool{
	"sig": true, "signature": true, "expires": true, "policy": true, "key-pair-id": true,
	"googleaccessid": true, "awsaccesskeyid": true,
	"se": true, "sp": true, "sv": true, "sr": true, "st": true, "spr": true, "sip": true,
	"skoid": true, "sktid": true, "skt": true, "ske": true, "sks": true, "skv": true,
	"token": true, "auth": true, "authorization": true, "jwt": true, "session": true,
	"key": true, "apikey": true, "api_key": true, "api-key": true, "code": true,
	"password": true, "passwd": true, "pass": true, "pwd": true,
	"secret": true, "credential": true, "credentials": true, "hdnea": true, "hdnts": true,
	"__gda__": true, "hmac": true, "x-jfrog-art-api": true,
}

// secretPrefixes and secretParts are looked for in names that are not listed.
var (
	secretPrefixes = []string{"x-amz-", "x-goog-", "x-oss-", "x-cos-", "x-ms-", "q-sign"}
	secretParts    = []string{"token", "secret", "passw", "signature", "credential", "apikey", "api_key"}
)

// Redact returns a URL for logs, receipts and errors: without user name and password,
// without fragment, and without the query parameters that grant access. Other parameters
// stay as they are. What is no URL is not shown at all.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return "(invalid URL)"
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.RawQuery = redactQuery(u.RawQuery)
	u.ForceQuery = false
	return u.String()
}

// redactQuery leaves out the parameters that are secret, and those that cannot be read.
func redactQuery(query string) string {
	var kept []string
	for _, p := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(p, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 == nil && err2 == nil && !secretParam(name) && !hasUserinfo(value) {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "&")
}

// secretParam reports whether the value of a query parameter must not be shown.
func secretParam(name string) bool {
	name = strings.ToLower(strings.TrimSpace(name))
	if secretParams[name] {
		return true
	}
	for _, p := range secretPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	for _, p := range secretParts {
		if strings.Contains(name, p) {
			return true
		}
	}
	return false
}

// hasUserinfo reports whether a value looks like a URL that carries a password.
func hasUserinfo(value string) bool {
	_, rest, ok := strings.Cut(value, "//")
	return ok && strings.Contains(rest, "@")
}
