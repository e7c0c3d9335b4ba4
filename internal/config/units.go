package config

import (
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

var (
	errSize     = errors.New(`write a size with its unit, for example "20GiB" or "500MB"`)
	errDuration = errors.New(`write a duration with its unit, for example "10m", "24h" or "7d"`)
)

// ParseSize reads a size in bytes: "20GiB", "500MB", or "0".
func ParseSize(s string) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > math.MaxInt64 || endsInDigit(s) {
		return 0, errSize
	}
	return int64(n), nil
}

// ParseDuration reads a duration: "10m", "24h", and also "7d".
func ParseDuration(s string) (time.Duration, error) {
	if n := len(s); n > 1 && s[n-1] == 'd' {
		days, err := strconv.ParseUint(s[:n-1], 10, 16) // 65,535 days fit a Duration
		if err != nil {
			return 0, errDuration
		}
		return time.Duration(days) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errDuration
	}
	return d, nil
}

// formatSize writes n so that ParseSize reads the same: in the largest unit that divides it.
func formatSize(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for i < len(units)-1 && n != 0 && n%1024 == 0 {
		n, i = n/1024, i+1
	}
	if n == 0 {
		return "0"
	}
	return strconv.FormatInt(n, 10) + units[i]
}

// formatDuration writes d so that ParseDuration reads the same, without zero parts at the end.
func formatDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return d.String()
}

func endsInDigit(s string) bool {
	return s != "" && s[len(s)-1] >= '0' && s[len(s)-1] <= '9'
}
