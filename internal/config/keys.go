package config

import (
	"slices"
	"strings"
)

// A key is one setting: the single place that knows its name, its meaning and its member.
type key struct {
	name string // as in the file, sections joined by dots
	doc  string // one line, for `config init`
	bind func(*Config) value
}

// env returns the variable that sets k: SUTLER_SECTION_KEY.
func (k key) env() string {
	return "SUTLER_" + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// keys lists every setting but the credentials, in the order of the commented file: those
// without a section first, as TOML demands.
func keys() []key {
	return slices.Concat(topKeys(), storeKeys(), ruleKeys(), dnsKeys(), logKeys())
}

func topKeys() []key {
	return []key{
		{"listen", "addresses on which clients are served",
			func(c *Config) value { return listValue{&c.Listen} }},
		{"listen_any", "allow listen to name all addresses; everyone who reaches them can use the cache",
			func(c *Config) value { return boolValue{&c.ListenAny} }},
		{"bridges", "also listen on the addresses of container bridges, same port",
			func(c *Config) value { return boolValue{&c.Bridges} }},
		{"acng_listen", `listener for settings made for apt-cacher-ng, for example "127.0.0.1:3142"`,
			func(c *Config) value { return stringValue{&c.ACNG} }},
		{"hosts", `further hosts of ecosystems, for example "npm=nexus.example/repository/npm" or "generic=dl.example"`,
			func(c *Config) value { return listValue{&c.Hosts} }},
		{"socket", "control socket; its folder must be yours alone",
			func(c *Config) value { return stringValue{&c.Socket} }},
		{"steps", `folder with what sutler-runc gives to build steps; "" for none`,
			func(c *Config) value { return stringValue{&c.Steps} }},
	}
}

func storeKeys() []key {
	return []key{
		{"store.dir", "stored files; may be deleted while sutler is stopped",
			func(c *Config) value { return stringValue{&c.Store.Dir} }},
		{"store.state", "index, receipts and the local CA",
			func(c *Config) value { return stringValue{&c.Store.State} }},
		{"store.max_size", `limit of the store; "0" for none`,
			func(c *Config) value { return sizeValue{&c.Store.MaxSize} }},
		{"store.min_free", "space left free on the file system",
			func(c *Config) value { return sizeValue{&c.Store.MinFree} }},
		{"store.verify_every", "a stored file is hashed again when its last check is older",
			func(c *Config) value { return durationValue{&c.Store.VerifyEvery} }},
		{"upstream.max_per_host", "connections at once to one host",
			func(c *Config) value { return intValue{&c.Upstream.MaxPerHost} }},
		{"upstream.offline", "reach nothing, serve what is stored",
			func(c *Config) value { return boolValue{&c.Upstream.Offline} }},
		{"upstream.nameservers", "who is asked for names of origins instead of the system's resolver; it must not be sutler",
			func(c *Config) value { return listValue{&c.Upstream.Nameservers} }},
		{"upstream.proxy", "proxy through which origins are reached, as URL",
			func(c *Config) value { return urlValue{stringValue{&c.Upstream.Proxy}} }},
		{"upstream.ca_file", "PEM file with further roots for connections to origins",
			func(c *Config) value { return stringValue{&c.Upstream.CAFile} }},
		{"upstream.mirrors", `what is asked before an origin, in this order: "https://origin/path/=https://mirror/path/"`,
			func(c *Config) value { return listValue{&c.Upstream.Mirrors} }},
		{"upstream.mirrors_only", "never ask the origin of what has a mirror",
			func(c *Config) value { return boolValue{&c.Upstream.MirrorsOnly} }},
		{"upstream.allow_private_hosts", "host:port that may resolve to private addresses",
			func(c *Config) value { return listValue{&c.Upstream.AllowPrivate} }},
		{"upstream.allow_loopback", "host:port that may resolve to this machine",
			func(c *Config) value { return listValue{&c.Upstream.AllowLoopback} }},
		{"upstream.netrc", "use ~/.netrc: every client of the cache gets at what its credentials open",
			func(c *Config) value { return boolValue{&c.Upstream.Netrc} }},
		{"upstream.docker_config", "use ~/.docker/config.json, likewise",
			func(c *Config) value { return boolValue{&c.Upstream.DockerConfig} }},
	}
}

func ruleKeys() []key {
	return []key{
		{"policy.strict", "refuse what nobody vouches for",
			func(c *Config) value { return boolValue{&c.Policy.Strict} }},
		{"policy.unknown_hosts", `hosts of no known ecosystem: "tunnel" or "refuse"`,
			func(c *Config) value { return choiceValue{&c.Policy.UnknownHosts, []string{Tunnel, Refuse}} }},
		{"apt.keyrings", "folder with further keyrings (.gpg, .asc)",
			func(c *Config) value { return stringValue{&c.Apt.Keyrings} }},
		{"apk.keys", "folder with further public keys of apk repositories (.rsa.pub)",
			func(c *Config) value { return stringValue{&c.Apk.Keys} }},
		{"rubygems.legacy", "let clients have the index without checksums (gem fetch, gem search, gem update)",
			func(c *Config) value { return boolValue{&c.RubyGems.Legacy} }},
		{"gomod.sumdb", "checksum database that vouches for the modules of hosts = [\"gomod=…\"], as in GOSUMDB; it learns their names",
			func(c *Config) value { return stringValue{&c.Gomod.SumDB} }},
		{"rpm.keyrings", "folder with further keyrings that sign repomd.xml (.gpg, .asc, RPM-GPG-KEY-*)",
			func(c *Config) value { return stringValue{&c.RPM.Keyrings} }},
		{"intercept.enabled", "open TLS connections to known hosts with the local CA",
			func(c *Config) value { return boolValue{&c.Intercept.Enabled} }},
		{"intercept.listen", `listeners for connections that DNS or DNAT led here, for example "172.17.0.1:443", "172.17.0.1:80"; they need not exist yet`,
			func(c *Config) value { return listValue{&c.Intercept.Listen} }},
		{"intercept.strangers", `TLS that DNS or DNAT led here of clients that are no build steps reported by sutler-runc: "open" or "tunnel"`,
			func(c *Config) value { return choiceValue{&c.Intercept.Strangers, []string{Open, Tunnel}} }},
		{"intercept.hosts", "further hosts to open",
			func(c *Config) value { return listValue{&c.Intercept.Hosts} }},
		{"intercept.except", "hosts never to open",
			func(c *Config) value { return listValue{&c.Intercept.Except} }},
		{"attach.tools", `what "sutler up" attaches, for example "docker"; "none" for nothing, nothing for all that is found`,
			func(c *Config) value { return listValue{&c.Attach.Tools} }},
		{"attach.root", "folder that stands for / in the paths of what is attached",
			func(c *Config) value { return stringValue{&c.Attach.Root} }},
		{"attach.docker_restart", "command that restarts docker; by itself sutler knows systemd, init scripts and bare processes",
			func(c *Config) value { return stringValue{&c.Attach.DockerRestart} }},
		{"attach.buildkit_restart", "command that restarts buildkitd, likewise",
			func(c *Config) value { return stringValue{&c.Attach.BuildKitRestart} }},
		{"attach.docker_runtime", "path of the OCI runtime wrapper that docker is to use",
			func(c *Config) value { return stringValue{&c.Attach.DockerRuntime} }},
		{"freshness.grace", "how long a stale index may stand in for a failing origin",
			func(c *Config) value { return durationValue{&c.Freshness.Grace} }},
	}
}

func logKeys() []key {
	return []key{
		{"log.level", "debug, info, warn or error",
			func(c *Config) value {
				return choiceValue{&c.Log.Level, []string{"debug", "info", "warn", "error"}}
			}},
		{"log.format", "auto, text or json",
			func(c *Config) value { return choiceValue{&c.Log.Format, []string{"auto", "text", "json"}} }},
	}
}

// credentialsKey is the array of tables that holds credentials; it is set by files only,
// since variables and flags are seen by others.
const credentialsKey = "credentials"

// credentialKeys are the members of one table of credentials.
func credentialKeys() []string {
	return []string{"prefix", "user", "password", "token", "password_file"}
}

// set sets the member of c with that name, one of credentialKeys.
func (c *Credential) set(name, text string) {
	switch name {
	case "prefix":
		c.Prefix = text
	case "user":
		c.User = text
	case "password":
		c.Password = NewSecret(text)
	case "token":
		c.Token = NewSecret(text)
	case "password_file":
		c.PasswordFile = text
	}
}
