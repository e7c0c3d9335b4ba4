// Command sutler-frontend is the image frontend that sutler hands to BuildKit in place
// of the stock Dockerfile frontend. It runs inside the engine and opens no connection.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/util/appcontext"
	// The engine talks to frontends in this encoding.
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"

	"sutler/internal/frontend"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sutler-frontend:", err)
		os.Exit(1)
	}
}

func run() error {
	data, err := os.ReadFile(frontend.SettingsPath)
	if err != nil {
		return err
	}
	settings, err := frontend.ParseSettings(data)
	if err != nil {
		return err
	}
	return grpcclient.RunFromEnvironment(appcontext.Context(), func(ctx context.Context, c client.Client) (*client.Result, error) {
		return settings.Build(ctx, c)
	})
}
