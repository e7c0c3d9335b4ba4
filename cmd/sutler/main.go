// Command sutler is a verifying cache for the dependencies of container builds.
package main

import (
	"context"
	"os"

	"sutler/internal/cli"
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
		Serve: func(ctx context.Context, s cli.Service) error {
			return daemon.Run(ctx, s.Config, daemon.Options{Version: version, Log: s.Log, Ready: s.Ready, Reload: s.Reload, DropIns: s.DropIns})
		},
		Names: daemon.DescribeNames,
		Check: daemon.Check,
		Shelf: daemon.Shelf,
	})
}
