package openpgp

import (
	"bytes"
	"strings"
	"testing"

	"sutler/internal/ecosystem"
)

// bodyOf returns bytes as what a URL answers.
func bodyOf(t *testing.T, url string, b []byte) ecosystem.Body {
	t.Helper()
	return ecosystem.Body{Resource: ecosystem.Resource{URL: url}, ReaderAt: bytes.NewReader(b), Size: int64(len(b))}
}

// pkt makes a packet of up to 191 bytes.
func pkt(tag byte, body string) string { return string([]byte{0xc0 | tag, byte(len(body))}) + body }

func TestPackets(t *testing.T) {
	const key = "\x04key"
	for _, tt := range []struct {
		name, in string
		fault    string // "" if the key is good
	}{
		{"key with all its parts", pkt(6, key) + pkt(2, "s") + pkt(13, "u") + pkt(17, "a") + pkt(14, "\x04sub") + pkt(12, "t") + pkt(10, "PGP") + pkt(21, "p"), ""},
		{"version 6", pkt(6, "\x06key"), ""},
		{"version 3", pkt(6, "\x03key"), "version 3"},
		{"no body", pkt(6, ""), "0 bytes"},
		{"secret key", pkt(5, key), "type 5"},
		{"secret subkey", pkt(6, key) + pkt(7, "\x04sub"), "type 7"},
		{"second key", pkt(6, key) + pkt(6, key), "type 6"},
		{"data", pkt(6, key) + pkt(11, "x"), "type 11"},
		{"user first", pkt(13, "u") + pkt(6, key), "type 13"},
		{"too many packets", pkt(6, key) + strings.Repeat(pkt(12, ""), maxPackets+1), "too many"},
		{"more than there is", pkt(6, key) + "\xcd\x20u", "EOF"},
	} {
		_, err := packets(strings.NewReader(tt.in))
		if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.fault)
		}
	}
}

// TestID takes the fingerprints of RFC 9580, appendix A.3, and of version 4 keys at their end.
func TestID(t *testing.T) {
	for f, want := range map[string]string{
		"CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9": "CB186C4F0609A697",
		"C959BDBAFA32A2F89A153B678CFDE12197965A9A":                         "8CFDE12197965A9A",
	} {
		if got := id(f); got != want {
			t.Errorf("id(%s) = %s, want %s", f, got, want)
		}
	}
}

// TestMailbox takes the example of draft-koch-openpgp-webkey-service, section 3.1.
func TestMailbox(t *testing.T) {
	if got, want := mailbox("Joe.Doe"), "iy9q119eutrkn8s1mk4r39qejnbu3n5q"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for user, want := range map[string]bool{
		"Joe <joe.doe@example.org>": true, "joe.doe@example.org": true, "JOE.DOE@example.org": true,
		"joe.doe": false, "Joe <jane@example.org>": false, "@example.org": false, "": false, "joe.doe@x <jane@example.org>": false,
	} {
		if got := ofMailbox(user, "joe.doe"); got != want {
			t.Errorf("ofMailbox(%q) = %t", user, got)
		}
	}
}

func TestHugeKey(t *testing.T) {
	body := bodyOf(t, "https://keys.example/pks/lookup", nil)
	body.Size = maxKey + 1
	if _, err := New(Options{}).Inspect(t.Context(), body, nil, nil); err == nil {
		t.Error("accepted")
	}
}
