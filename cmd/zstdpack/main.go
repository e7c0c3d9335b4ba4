// Command zstdpack compresses a file: zstdpack SOURCE TARGET. The build uses it for what is
// embedded, so that no other tool is needed.
package main

import (
	"fmt"
	"os"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: zstdpack SOURCE TARGET")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "zstdpack:", err)
		os.Exit(1)
	}
}

func pack(source, target string) error {
	b, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	return renameio.WriteFile(target, w.EncodeAll(b, nil), 0o644)
}
