package ca

import (
	"fmt"
	"slices"
	"strings"
)

// Names returns hosts in the form the authority keeps them: lower case, sorted, each once.
// It refuses what would constrain nothing or too little: no host at all, "*", "*.tld",
// addresses and anything that is not a DNS name.
func Names(hosts []string) ([]string, error) {
	names := make([]string, 0, len(hosts))
	for _, h := range hosts {
		n := strings.ToLower(h)
		base, wild := strings.CutPrefix(n, "*.")
		if !validName(base) || wild && !strings.Contains(base, ".") {
			return nil, fmt.Errorf("%w: %q: write a DNS name, or *.example.org for all names below", ErrName, h)
		}
		names = append(names, n)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: the list of hosts is empty, which would constrain nothing", ErrName)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// validName reports whether s, in lower case, is a DNS name and no IPv4 address.
func validName(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if !validLabel(l) {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// validLabel reports whether l is one label of a DNS name. The underscore occurs in practice.
func validLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for _, c := range l {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// constraints returns the name constraints for names. A constraint of RFC 5280 permits a
// name and all names below it; there is no way to say "below only". The leading dot that
// many verifiers take for it is none of the RFC's, so one that refuses it would cut off
// every host of a wildcard. The price is that "*.x" permits x too; Certificate does not.
func constraints(names []string) []string {
	c := make([]string, 0, len(names))
	for _, n := range names {
		c = append(c, strings.TrimPrefix(n, "*."))
	}
	slices.Sort(c)
	return slices.Compact(c)
}

// covers reports whether host, in lower case, is one of names or below a wildcard of them.
func covers(names []string, host string) bool {
	if _, ok := slices.BinarySearch(names, host); ok {
		return true
	}
	for i, c := range host {
		if c != '.' {
			continue
		}
		if _, ok := slices.BinarySearch(names, "*"+host[i:]); ok && i > 0 {
			return true
		}
	}
	return false
}
