package tools

import (
	"fmt"
	"net"
	"path"
	"strings"

	"sutler/internal/edit"
)

// aptScript tells apt the proxy if it answers, else to go without. Perl is part of every
// system that has apt.
const aptScript = `use strict;
use IO::Socket::INET;
my $s = IO::Socket::INET->new(PeerAddr => '%s', Timeout => 1);
my $line = '';
if ($s) {
	local $SIG{ALRM} = sub { exit print "DIRECT\n" };
	alarm 2;
	print $s "GET /livez HTTP/1.0\r\nHost: %s\r\n\r\n";
	$line = <$s> // '';
}
print $line =~ / 200 / ? "%s\n" : "DIRECT\n";
`

// systemBundle is where Debian's systems have the public roots.
const systemBundle = "/etc/ssl/certs/ca-certificates.crt"

// Apt returns the changes for apt: a proxy that is asked for only while it is up. The folder
// of the bundle may be empty after the machine has started, and apt trusts nobody then: a
// line for systemd-tmpfiles (tmpfiles.d(5), type L) puts the public roots there until sutler
// runs.
func Apt(s Site) []Change {
	script := path.Join(s.Etc, "apt", "sutler-proxy")
	run := Change{Path: script, Format: edit.FormatFile, Mode: 0o755,
		Edit: edit.File("#!/usr/bin/perl\n# "+Mark+"\n"+fmt.Sprintf(aptScript, s.addr(), s.addr(), s.URL), Mark)}
	text := fmt.Sprintf("Acquire::http::Proxy-Auto-Detect %q;\nAcquire::https::Proxy-Auto-Detect %q;\n", script, script)
	if s.Bundle != "" {
		text += fmt.Sprintf("Acquire::https::CaInfo %q;\n", s.Bundle)
	}
	c := whole(path.Join(s.Etc, "apt", "apt.conf.d", "00sutler"), "//", text)
	c.Notes = []string{"A proxy that other files name for all hosts is not asked while sutler is up: give it to sutler as upstream.proxy."}
	if s.Bundle == "" {
		return []Change{run, c}
	}
	boot := whole(path.Join(s.Etc, "tmpfiles.d", "sutler-apt.conf"), "#", fmt.Sprintf("L %s - - - - %s\n", s.Bundle, systemBundle))
	return []Change{run, boot, c}
}

// Pip returns the changes for pip.
func Pip(s Site) []Change {
	name := path.Join(s.Etc, "pip.conf")
	if s.User {
		name = path.Join(s.config(), "pip", "pip.conf")
	}
	set := []edit.Key{{Path: []string{"global", "proxy"}, Value: s.URL}}
	if s.Bundle != "" {
		set = append(set, edit.Key{Path: []string{"global", "cert"}, Value: s.Bundle})
	}
	c := keys(name, edit.Pip(set...), "")
	c.Notes = []string{closed("pip")}
	return []Change{c}
}

// Npm returns the changes for npm, and for pnpm and yarn 1, which read the same file.
func Npm(s Site) []Change {
	set := []edit.Key{{Path: []string{"proxy"}, Value: s.URL}, {Path: []string{"https-proxy"}, Value: s.URL}}
	if s.Bundle != "" {
		set = append(set, edit.Key{Path: []string{"cafile"}, Value: s.Bundle})
	}
	c := keys(path.Join(s.Home, ".npmrc"), edit.Npm(set...), "")
	c.Mode = 0o600
	c.Notes = []string{closed("npm")}
	return []Change{c}
}

// closed says that a tool has no way around a proxy that is down.
func closed(tool string) string {
	return tool + " has no other way while sutler is down: detach it before sutler is stopped for long."
}

// Shell returns the changes for login shells: variables that are set while sutler is up.
// files are the user's own profiles; ~/.profile if there are none.
func Shell(s Site, files ...string) []Change {
	text := s.exports()
	if !s.User {
		c := whole(path.Join(s.Etc, "profile.d", "sutler.sh"), "#", text)
		c.Reload = NewLogin
		return []Change{c}
	}
	if len(files) == 0 {
		files = []string{path.Join(s.Home, ".profile")}
	}
	var out []Change
	for _, f := range files {
		out = append(out, keys(f, edit.Block(text), NewLogin))
	}
	return out
}

// exports returns shell commands that set the variables if sutler answers; bash can ask
// without another program.
func (s Site) exports() string {
	host, port, err := net.SplitHostPort(s.addr())
	if err != nil {
		host, port = s.addr(), "80"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "if bash -c ': </dev/tcp/%s/%s' >/dev/null 2>&1; then\n", host, port)
	for _, v := range s.Env {
		fmt.Fprintf(&b, "\texport %s='%s'\n", v.Name, strings.ReplaceAll(v.Value, "'", `'\''`))
	}
	b.WriteString("fi\n")
	if len(s.Env) == 0 {
		return ":\n"
	}
	return b.String()
}
