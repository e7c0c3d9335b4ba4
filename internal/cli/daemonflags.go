package cli

import (
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sutler/internal/config"
	"sutler/internal/control"
)

// daemonFlags are the settings that commands which start a daemon take as flags.
type daemonFlags struct {
	set *pflag.FlagSet
}

// newDaemonFlags adds the flags to a command.
func newDaemonFlags(c *cobra.Command) daemonFlags {
	f := c.Flags()
	f.StringSlice("listen", nil, "address:port to serve clients on; may be repeated")
	f.String("store", "", "folder of the stored files")
	f.String("max-size", "", `limit of the store, for example "20GiB"`)
	f.Bool("offline", false, "reach nothing, serve what is stored")
	f.Bool("strict", false, "refuse what nobody vouches for")
	return daemonFlags{f}
}

// keys maps the flags to the keys that they set.
func (daemonFlags) keys() map[string]string {
	return map[string]string{"listen": "listen", "store": "store.dir", "max-size": "store.max_size",
		"offline": "upstream.offline", "strict": "policy.strict"}
}

// settings returns the flags that were given, by key.
func (d daemonFlags) settings() map[string]config.Flag {
	out := map[string]config.Flag{}
	d.set.Visit(func(f *pflag.Flag) {
		key, ok := d.keys()[f.Name]
		if !ok {
			return
		}
		value := f.Value.String()
		if s, isSlice := f.Value.(pflag.SliceValue); isSlice {
			value = join(s.GetSlice())
		}
		out[key] = config.Flag{Name: f.Name, Value: value}
	})
	return out
}

// terms returns what the flags ask for one command, whichever daemon serves it.
func (d daemonFlags) terms() control.BuildRequest {
	on := func(name string) bool {
		v, err := d.set.GetBool(name)
		return err == nil && v
	}
	return control.BuildRequest{Strict: on("strict"), Offline: on("offline")}
}

// args returns the flags that were given, as arguments of another sutler, without some.
func (d daemonFlags) args(without ...string) []string {
	var out []string
	for _, name := range []string{"listen", "store", "max-size", "offline", "strict"} {
		f := d.set.Lookup(name)
		if f == nil || !f.Changed || slices.Contains(without, name) {
			continue
		}
		value := f.Value.String()
		if s, isSlice := f.Value.(pflag.SliceValue); isSlice {
			value = join(s.GetSlice())
		}
		out = append(out, "--"+name+"="+value)
	}
	return out
}

func join(list []string) string {
	out := ""
	for i, s := range list {
		if i > 0 {
			out += ","
		}
		out += s
	}
	return out
}

// plural returns "1 file" or "2 files".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}
