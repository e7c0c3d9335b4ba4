package apk

import "testing"

func TestCutName(t *testing.T) {
	for _, tt := range []struct{ file, name, version string }{
		{"busybox-1.37.0-r12.apk", "busybox", "1.37.0-r12"},
		{"libstdc++-14.2.0_git20250101~abc-r0.apk", "libstdc++", "14.2.0_git20250101~abc-r0"},
		{"libstdc%2B%2B-14.2-r0.apk", "libstdc++", "14.2-r0"},
		{"py3-foo-2-bar-1.0-r0.apk", "py3-foo-2-bar", "1.0-r0"},
		{"tool.apk", "tool", ""},
		{"tool-1.0.apk", "tool-1.0", ""},
		{"tool-1.0-release.apk", "tool-1.0-release", ""},
		{"tool-1.0-r.apk", "tool-1.0-r", ""},
		{"tool-beta-r1.apk", "tool-beta-r1", ""},
		{"-1.0-r0.apk", "-1.0-r0", ""},
		{"-r0.apk", "-r0", ""},
		{"a--r0.apk", "a--r0", ""},
		{".apk", "", ""},
	} {
		if name, version := cutName(tt.file); name != tt.name || version != tt.version {
			t.Errorf("cutName(%q) = %q, %q; want %q, %q", tt.file, name, version, tt.name, tt.version)
		}
	}
}

func TestCanonicalPath(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{"/a/b.apk", "/a/b.apk"},
		{"/a/b%7e1%2B.apk", "/a/b~1+.apk"},
		{"/a b/c", "/a%20b/c"},
		{"/a%20b/c", "/a%20b/c"},
		{"/%C3%A9", "/%C3%A9"},
		{"", ""}, {"/", ""}, {"a", ""}, {"//a", ""}, {"/a//b", ""}, {"/a/", ""}, {"/./a", ""}, {"/../a", ""}, {"/%2e%2e/a", ""},
		{"/a%2fb", ""}, {"/a%5cb", ""}, {"/a%00", ""}, {"/a%252e", ""}, {"/a%", ""}, {"/a%7f", ""},
	} {
		got, ok := canonicalPath(tt.path)
		if ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("canonicalPath(%q) = %q, %v; want %q", tt.path, got, ok, tt.want)
		}
	}
}
