package config

import "fmt"

// hidden is what a Secret prints as.
const hidden = "***"

// A Secret is a password or token. However it is printed or encoded, it shows only
// whether it is set. Use [Secret.Reveal] where it is sent.
type Secret struct{ value string }

// NewSecret returns the secret with that value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value itself.
func (s Secret) Reveal() string { return s.value }

// String returns "***", or "" if s is empty.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return hidden
}

// Format prints String for every verb, so that %#v and %x show nothing either.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) } // errors end up in f

// MarshalText encodes String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
