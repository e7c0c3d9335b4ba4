package builder

import (
	"reflect"
	"testing"
)

func TestParseArguments(t *testing.T) {
	t.Setenv("FROM_ENV", "e")
	for _, tt := range []struct {
		name string
		args []string
		want arguments
	}{
		{"context only", []string{"."}, arguments{context: "."}},
		{"flags with values", []string{"-t", "app", "--file", "x/Dockerfile", "dir"}, arguments{file: "x/Dockerfile", context: "dir"}},
		{"joined", []string{"-tapp", "-f=D", "--target=t", "dir"}, arguments{file: "D", context: "dir"}},
		{"short without a gap", []string{"-fD", "dir"}, arguments{file: "D", context: "dir"}},
		{"cluster", []string{"-qf", "D", "dir"}, arguments{file: "D", context: "dir"}},
		{"context first", []string{"dir", "--no-cache", "-f", "D"}, arguments{file: "D", context: "dir"}},
		{"standard input", []string{"-"}, arguments{context: "-"}},
		{"Dockerfile from standard input", []string{"-f", "-", "."}, arguments{file: "-", context: "."}},
		{"a value like a flag", []string{"--label", "-f", "."}, arguments{context: "."}},
		{"switch of a new engine", []string{"--some-thing", "."}, arguments{context: "."}},
		{"value of a new engine", []string{"--some-thing", "v", "."}, arguments{context: "."}},
		{"after two dashes", []string{"--pull", "--", "-dir"}, arguments{context: "-dir"}},
		{"value missing", []string{".", "-f"}, arguments{context: "."}},
		{"builder", []string{"--builder", "b", "."}, arguments{context: ".", builder: "b"}},
		{"build arguments", []string{"--build-arg", "A=1=2", "--build-arg=FROM_ENV", "--build-arg", "UNSET_X", "."}, arguments{
			context: ".", buildArgs: map[string]string{"A": "1=2", "FROM_ENV": "e"},
		}},
		{"git", []string{"https://git.example/x.git#main:dir"}, arguments{context: "https://git.example/x.git#main:dir"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want.buildArgs == nil {
				tt.want.buildArgs = map[string]string{}
			}
			if got := parseArguments(tt.args); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parseArguments(%q) = %+v, want %+v", tt.args, got, tt.want)
			}
		})
	}
}

func TestParseDockerfile(t *testing.T) {
	for _, tt := range []struct {
		name, text, syntax string
		foreign            bool
		arg                string
	}{
		{"none", "FROM x\n", "", false, ""},
		{"stock", "# syntax=docker/dockerfile:1\nFROM x\n", "docker/dockerfile:1", false, ""},
		{"stock with spaces", "#  Syntax = docker/dockerfile:1.7-labs\nFROM x\n", "docker/dockerfile:1.7-labs", false, ""},
		{"digest", "# syntax=docker/dockerfile:1@sha256:00ff\n", "docker/dockerfile:1@sha256:00ff", false, ""},
		{"after escape", "# escape=`\n# syntax=acme/front\n", "acme/front", true, ""},
		{"other version", "# syntax=docker/dockerfile:2\n", "docker/dockerfile:2", true, ""},
		{"too late", "# a comment\n# syntax=acme/front\n", "", false, ""},
		{"byte order mark", "\ufeff# syntax=acme/front\n", "acme/front", true, ""},
		{"declared proxy", "FROM x\nARG A=1 http_proxy\n", "", false, "http_proxy"},
		{"declared in a trigger", "FROM x\nonbuild arg HTTP_PROXY=y\n", "", false, "HTTP_PROXY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := parseDockerfile([]byte(tt.text))
			if d.syntax != tt.syntax || d.foreign() != tt.foreign {
				t.Errorf("syntax %q, foreign %v, want %q, %v", d.syntax, d.foreign(), tt.syntax, tt.foreign)
			}
			if tt.arg != "" && !d.args[tt.arg] {
				t.Errorf("args = %v, want %s", d.args, tt.arg)
			}
		})
	}
}

func FuzzParseArguments(f *testing.F) {
	f.Add("-f", "D", ".")
	f.Add("-qtx", "--", "-")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		// An argument that is no flag and no value is the context, whatever comes before it.
		if got := parseArguments([]string{a, b, c, "--pull", "dir"}); got.context != "dir" {
			t.Errorf("context of %q, %q, %q = %q, want dir", a, b, c, got.context)
		}
	})
}
