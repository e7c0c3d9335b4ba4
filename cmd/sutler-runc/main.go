// Command sutler-runc stands in for runc or crun: see internal/ociruntime.
package main

import (
	"os"

	"sutler/internal/ociruntime"
)

func main() { os.Exit(ociruntime.Main(os.Args, os.Environ(), os.Stderr)) }
