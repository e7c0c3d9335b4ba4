// Command bench measures sutler beside nginx's proxy_cache, in front of the same origin,
// in one run, and prints medians and ratios: the machine's noise then hits both.
//
//	go run ./bench -sutler bin/sutler [-rounds 3] [-json bench.json]
//
// The server under test is pinned to the first core, the load and the origin to the
// second. All traffic stays on 127.0.0.1 and is bounded.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
)

// A figure is one measured value of one contestant.
type figure struct {
	Name   string             `json:"name"`
	Unit   string             `json:"unit"`
	Values map[string]float64 `json:"values"` // median by contestant
	Ratio  float64            `json:"ratio,omitempty"`
	Goal   string             `json:"goal,omitempty"`
	Met    *bool              `json:"met,omitempty"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "origin" {
		if err := runOrigin(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench origin:", err)
			os.Exit(1)
		}
		return
	}
	binary := flag.String("sutler", "bin/sutler", "the program under test")
	rounds := flag.Int("rounds", 3, "rounds; medians are reported")
	out := flag.String("json", "", "file to write the figures to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	figures, err := run(ctx, *binary, *rounds)
	if err == nil && *out != "" {
		err = writeJSON(*out, figures)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func writeJSON(file string, figures []figure) error {
	b, err := json.MarshalIndent(figures, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// run starts origin and contestants, measures round by round and prints.
func run(ctx context.Context, binary string, rounds int) ([]figure, error) {
	b, err := newBench(ctx, binary)
	if err != nil {
		return nil, err
	}
	defer b.close()
	samples := map[string]map[string][]float64{}
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, rounds)
		for _, c := range b.contestants {
			got, err := b.round(c, i)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			for name, v := range got {
				if samples[name] == nil {
					samples[name] = map[string][]float64{}
				}
				samples[name][c.name] = append(samples[name][c.name], v)
			}
		}
	}
	figures := summarize(samples)
	own, err := b.ownFigures()
	if err != nil {
		return nil, err
	}
	figures = append(figures, own...)
	print(figures)
	return figures, nil
}

// goals are what performance is held to: of sutler's value divided by the rival's, or of
// the value itself where there is no rival.
var goals = []struct {
	name, unit, rival string
	difference        bool // sutler minus rival instead of a ratio
	max               float64
}{
	{"warm 4 KB, CPU per request", "µs", "nginx", false, 1.5},
	{"warm 64 MB, CPU per GB", "s", "nginx", false, 1.1},
	{"cold 64 MB, first byte", "ms", "direct", true, 3},
	{"cold 64 MB, total", "ms", "direct", false, 1.05},
	{"burst of 100, upstream fetches", "", "", false, 1},
	{"burst of 100, slowest first byte", "ms", "direct", true, 100},
	{"burst of 100, failures", "", "", false, 0},
	{"burst of 100, peak memory", "MiB", "", false, 100},
}

// summarize takes medians and compares them with the goals.
func summarize(samples map[string]map[string][]float64) []figure {
	var out []figure
	for _, g := range goals {
		f := figure{Name: g.name, Unit: g.unit, Values: map[string]float64{}}
		for who, all := range samples[g.name] {
			slices.Sort(all)
			f.Values[who] = all[len(all)/2]
		}
		v := f.Values["sutler"]
		f.Goal = fmt.Sprintf("≤ %g %s", g.max, g.unit)
		switch {
		case g.rival != "" && g.difference:
			v -= f.Values[g.rival]
			f.Goal = fmt.Sprintf("≤ %s + %g %s", g.rival, g.max, g.unit)
		case g.rival != "":
			v /= f.Values[g.rival]
			f.Ratio = v
			f.Goal = fmt.Sprintf("≤ %g × %s", g.max, g.rival)
		}
		met := v <= g.max
		f.Met = &met
		out = append(out, f)
	}
	return out
}

// print writes the figures as a table.
func print(figures []figure) {
	fmt.Printf("%-36s %12s %12s %12s %8s  %-18s %s\n", "", "sutler", "nginx", "direct", "ratio", "goal", "")
	for _, f := range figures {
		cell := func(who string) string {
			v, ok := f.Values[who]
			if !ok {
				return "-"
			}
			return strings.TrimSpace(fmt.Sprintf("%.4g %s", v, f.Unit))
		}
		ratio, met := "", ""
		if f.Ratio != 0 {
			ratio = fmt.Sprintf("%.2f", f.Ratio)
		}
		if f.Met != nil {
			met = map[bool]string{true: "met", false: "NOT MET"}[*f.Met]
		}
		fmt.Printf("%-36s %12s %12s %12s %8s  %-18s %s\n", f.Name, cell("sutler"), cell("nginx"), cell("direct"), ratio, f.Goal, met)
	}
}

// errShort means that an answer ended early.
var errShort = errors.New("answer ended early")
