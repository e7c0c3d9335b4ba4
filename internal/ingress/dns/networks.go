package dns

import (
	"context"
	"time"
)

// networksWithin bounds how long an engine may take to list its networks.
const networksWithin = time.Second

// Networks asks an engine for the interfaces of its bridge networks, and whether each is
// internal: made so that its containers reach nothing outside.
func Networks(ctx context.Context, e Engine) (map[string]bool, error) {
	api, err := newEngineAPI(e)
	if err != nil {
		return nil, err
	}
	defer api.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, networksWithin)
	defer cancel()
	var all []struct {
		ID       string `json:"Id"`
		Driver   string
		Internal bool
		Options  map[string]string
	}
	if err := api.get(ctx, "/networks", &all); err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, n := range all {
		name := n.Options["com.docker.network.bridge.name"]
		if name == "" && len(n.ID) >= 12 {
			name = "br-" + n.ID[:12]
		}
		if n.Driver == "bridge" && name != "" {
			out[name] = n.Internal
		}
	}
	return out, nil
}
