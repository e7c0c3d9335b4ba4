// Command registry is a container registry in memory that answers for referrers and pages
// its lists, which the one of Debian does not. It serves on the address that is its only
// argument.
package main

import (
	"fmt"
	"net/http"
	"os"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: registry ADDRESS")
		os.Exit(2)
	}
	if err := http.ListenAndServe(os.Args[1], ociserver.New(ocimem.New(), nil)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
