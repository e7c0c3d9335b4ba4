package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// rate is what the origin sends at, bytes a second: a 1 Gbit/s line. Over an unlimited
// loopback no cache that hashes what it passes on could keep up with the wire.
const rate = 125_000_000

// runOrigin serves /SIZE/NAME, SIZE bytes at rate, on the address given, and
// /count/SIZE/NAME, how often that was fetched.
func runOrigin(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	var mu sync.Mutex
	count := map[string]int{}
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = byte(i * 7 >> 3)
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // bounded by the benchmark's own life
		if path, ok := strings.CutPrefix(r.URL.Path, "/count"); ok {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprint(w, count[path])
			return
		}
		size, err := strconv.ParseInt(strings.Split(r.URL.Path, "/")[1], 10, 64)
		if err != nil || !strings.HasSuffix(r.URL.Path, ".tar.gz") {
			http.NotFound(w, r) // checksum files beside a download, for example
			return
		}
		mu.Lock()
		count[r.URL.Path]++
		mu.Unlock()
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("ETag", `"`+strings.ReplaceAll(r.URL.Path, "/", "-")+`"`)
		w.Header().Set("Cache-Control", "public, max-age=86400")
		pace(w, block, size)
	}))
}

// pace writes size bytes at rate, in small steps. The first bytes of a body name it, so
// that no two bodies are the same blob.
func pace(w http.ResponseWriter, block []byte, size int64) {
	start := time.Now()
	stamp := []byte(fmt.Sprintf("%-32d", start.UnixNano()))
	n, err := w.Write(stamp[:min(int64(len(stamp)), size)])
	for sent := int64(n); err == nil && sent < size; {
		n, err = w.Write(block[:min(int64(len(block)), size-sent)])
		sent += int64(n)
		if ahead := time.Duration(sent*int64(time.Second)/rate) - time.Since(start); ahead > 2*time.Millisecond {
			time.Sleep(ahead)
		}
	}
}
