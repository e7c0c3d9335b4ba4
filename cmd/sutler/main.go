// Command sutler is a verifying cache for the dependencies of container builds.
package main

import (
	"context"
	"log/slog"
	"os"

	"sutler/internal/cli"
	"sutler/internal/config"
	"sutler/internal/control"
	"sutler/internal/daemon"
)

// version is set by the linker in releases.
var version = "dev"

func main() { os.Exit(run()) }

// run is the whole program; it returns the exit code.
func run() int {
	return cli.Main(context.Background(), cli.Program{
		Version: version, Args: os.Args[1:], Env: os.Environ(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Serve: func(ctx context.Context, c config.Config, log *slog.Logger, ready func(control.Status)) error {
			return daemon.Run(ctx, c, daemon.Options{Version: version, Log: log, Ready: ready})
		},
		Names: daemon.DescribeNames,
		Check: daemon.Check,
		Shelf: daemon.Shelf,
	})
}
