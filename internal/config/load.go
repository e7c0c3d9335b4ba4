package config

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// Sources say what to read, in rising order of precedence.
type Sources struct {
	Place Place
	Files []string        // read in this order; each must exist
	Env   []string        // "NAME=value" as from os.Environ; only SUTLER_… is looked at
	Flags map[string]Flag // by key ("store.max_size")
}

// A Flag is a setting given on the command line.
type Flag struct{ Name, Value string }

// A Loaded is a configuration that knows where each value came from.
type Loaded struct {
	Config
	// Ignored says which variables look like settings but are none. They are no error,
	// because other programs make some: service links of Kubernetes are called SUTLER_PORT.
	Ignored []string

	table        []key
	origins      map[string]Origin
	credentialAt []Origin
}

// Load reads the configuration. The error is Problems if something in it is wrong, with
// every mistake found; the Loaded is then complete but for these.
func Load(s Sources) (*Loaded, error) {
	l := &Loaded{Config: Default(s.Place), table: keys(), origins: make(map[string]Origin)}
	var problems Problems
	for _, path := range s.Files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		problems = append(problems, l.readFile(path, text)...)
		problems = append(problems, l.readable(path)...)
	}
	problems = append(problems, l.readEnv(s.Env)...)
	problems = append(problems, l.readFlags(s.Flags)...)
	problems = append(problems, l.readPasswords()...)
	problems = append(problems, l.validate()...)
	return l, problems.err()
}

// Parse reads the text of one file over the defaults of p, for `config check FILE` and
// tests. Errors are Problems that name the file as path.
func Parse(p Place, path string, text []byte) (*Loaded, error) {
	l := &Loaded{Config: Default(p), table: keys(), origins: make(map[string]Origin)}
	problems := l.readFile(path, text)
	return l, append(problems, l.validate()...).err()
}

// readable reports a file with a password in it that everybody can read.
func (l *Loaded) readable(path string) Problems {
	for i, c := range l.Credentials {
		if l.credentialAt[i].Name != path || (c.Password.Reveal() == "" && c.Token.Reveal() == "") {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
			return Problems{{Origin: l.credentialAt[i], Key: credentialsKey,
				Message: "everybody can read this file, and it holds a secret; chmod 600 it, or use password_file"}}
		}
	}
	return nil
}

// prefix starts the name of every variable that is a setting.
const prefix = "SUTLER_"

func (l *Loaded) readEnv(env []string) (problems Problems) {
	known := make(map[string]key, len(l.table))
	for _, k := range l.table {
		known[k.env()] = k
	}
	for _, pair := range env {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, prefix) || slices.Contains(notSettings(), name) {
			continue
		}
		k, ok := known[name]
		if !ok {
			l.Ignored = append(l.Ignored, name+": "+unknown("variable", name, slices.Sorted(maps.Keys(known))))
			continue
		}
		problems = append(problems, l.apply(k, text, Origin{Source: "env", Name: name})...)
	}
	return problems
}

// notSettings lists the variables that the command line reads itself.
func notSettings() []string { return []string{"SUTLER_CONFIG"} }

func (l *Loaded) readFlags(flags map[string]Flag) (problems Problems) {
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		at := Origin{Source: "flag", Name: "--" + flags[name].Name}
		k, ok := l.key(name)
		if !ok {
			problems = append(problems, &Problem{Origin: at, Key: name, Message: unknown("key", name, l.names())})
			continue
		}
		problems = append(problems, l.apply(k, flags[name].Value, at)...)
	}
	return problems
}

// apply sets k to a value given as text.
func (l *Loaded) apply(k key, text string, at Origin) Problems {
	if err := k.bind(&l.Config).set(text); err != nil {
		return Problems{{Origin: at, Key: k.name, Message: err.Error()}}
	}
	l.origins[k.name] = at
	return nil
}

// readPasswords replaces each password_file by what is in it.
func (l *Loaded) readPasswords() (problems Problems) {
	for i := range l.Credentials {
		c := &l.Credentials[i]
		if c.PasswordFile == "" {
			continue
		}
		line, err := firstLine(c.PasswordFile)
		if err != nil {
			problems = append(problems, &Problem{Origin: l.credentialAt[i],
				Key: fmt.Sprintf("%s[%d].password_file", credentialsKey, i), Message: err.Error()})
			continue
		}
		c.Password = NewSecret(line)
	}
	return problems
}

func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read from
	s := bufio.NewScanner(f)
	if !s.Scan() {
		return "", errors.Join(fmt.Errorf("%s is empty", path), s.Err())
	}
	return s.Text(), nil
}

// key returns the row of that name.
func (l *Loaded) key(name string) (key, bool) {
	i := slices.IndexFunc(l.table, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return l.table[i], true
}

func (l *Loaded) hasSection(name string) bool {
	return slices.ContainsFunc(l.table, func(k key) bool { return strings.HasPrefix(k.name, name+".") })
}

func (l *Loaded) names() []string {
	names := []string{credentialsKey}
	for _, k := range l.table {
		names = append(names, k.name)
	}
	return names
}

// Origin returns where the value of a key came from.
func (l *Loaded) Origin(name string) Origin {
	if o, ok := l.origins[name]; ok {
		return o
	}
	return Origin{Source: "default"}
}
