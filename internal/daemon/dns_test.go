package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
)

// TestNames runs a daemon that answers names, and asks it.
func TestNames(t *testing.T) {
	c := testConfig(t, "127.0.0.1:1")
	raw := filepath.Join(t.TempDir(), "rawdns.json")
	if err := os.WriteFile(raw, []byte(`{"old.example.": {"type": "static", "addrs": ["10.0.0.9"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Hosts = []string{"generic=dl.example"}
	c.DNS.Listen, c.DNS.Rawdns, c.DNS.Static = []string{freeAddr(t)}, raw, []string{"db.example A 10.0.0.7"}
	start(t, c)
	for name, want := range map[string]string{"dl.example.": "127.0.0.1", "old.example.": "10.0.0.9", "db.example.": "10.0.0.7"} {
		m := new(miekg.Msg)
		m.SetQuestion(name, miekg.TypeA)
		client := miekg.Client{Net: "tcp"}
		got, _, err := client.ExchangeContext(t.Context(), m, c.DNS.Listen[0])
		for err != nil && strings.Contains(err.Error(), "refused") && t.Context().Err() == nil {
			got, _, err = client.ExchangeContext(t.Context(), m, c.DNS.Listen[0]) // it listens in a moment
		}
		if err != nil || len(got.Answer) != 1 || !strings.HasSuffix(got.Answer[0].String(), want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	n, err := DescribeNames(c)
	if err != nil || n.Intercepted == 0 || len(n.Zones) != 3 || n.Rules != "" {
		t.Errorf("DescribeNames = %+v, %v", n, err)
	}
	c.DNS.Redirect = []string{"docker0"}
	if n, err := DescribeNames(c); err != nil || !strings.Contains(n.Rules, "dnat ip to "+c.DNS.Listen[0]) {
		t.Errorf("rules: %v\n%s", err, n.Rules)
	}
}

func TestNamesMistakes(t *testing.T) {
	for _, change := range []func(*process){
		func(d *process) { d.config.DNS.Zones = []string{"x"} },
		func(d *process) { d.config.DNS.Static = []string{"x"} },
		func(d *process) { d.config.DNS.Upstreams = []string{"x"} },
		func(d *process) { d.config.DNS.Engine = "ftp://x" },
		func(d *process) { d.config.DNS.Rawdns = "/nonexistent" },
	} {
		d := &process{config: testConfig(t, "127.0.0.1:1"), trouble: trouble{log: slog.New(slog.DiscardHandler)}}
		d.naming = newNaming(d)
		d.config.DNS.Listen = []string{"127.0.0.1:1"}
		change(d)
		if err := d.openDNS(t.Context()); err == nil {
			t.Errorf("%+v is no error", d.config.DNS)
		}
	}
}
