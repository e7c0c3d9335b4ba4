package daemon

import (
	"strings"
	"testing"

	"sutler/internal/config"
)

// TestUnserved says that names lead to where nobody serves, and only then.
func TestUnserved(t *testing.T) {
	c := config.Config{DNS: config.DNS{Listen: []string{"172.17.0.1:53"}}}
	if err := unserved(c); err == nil || !strings.Contains(err.Error(), "intercept.listen") {
		t.Errorf("nobody serves: %v", err)
	}
	c.Intercept.Listen = []string{"172.17.0.1:443"}
	if err := unserved(c); err != nil {
		t.Errorf("sutler serves: %v", err)
	}
	c.Intercept.Listen, c.DNS.Address = nil, "192.0.2.1"
	if err := unserved(c); err != nil {
		t.Errorf("somebody else serves: %v", err)
	}
}
