// Package probe looks at sutler from where builds do: from throw-away containers, one on
// each network of an engine, and from the steps of throw-away builds.
//
// What runs in them is this very program, which makes an image of itself, so that nothing
// is pulled. All that is made bears [Name] and the number of the process that made it, by
// which a later one finds what a killed one left. A probe is told what to look at by its
// argument and prints what it saw as JSON behind a mark, both of which any engine hands on.
package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"sutler/internal/builder"
)

// Name is the name of the image of throw-away containers, and of the label of all that is
// made; the label's value and the image's tag are [Owner].
const Name = "sutler-probe"

// Within bounds a container or a build from its start to its end.
const Within = lookWithin + 30*time.Second

// mark stands before a report in what engines and builders print.
const mark = Name + ": "

// errNoReport means that a container or a build printed something else.
var errNoReport = errors.New("it printed no report")

// A Host is an engine that runs throw-away containers. Run may be called concurrently.
type Host interface {
	// Load puts the image into the engine.
	Load(ctx context.Context, image *builder.Self) error
	// Run runs a container of the image on a network with these arguments, removes it, and
	// returns what it printed. The container bears the label Name=Owner().
	Run(ctx context.Context, image, network string, args []string) (string, error)
	// Tidy removes what bears Name and is by an owner of whom gone is true.
	Tidy(ctx context.Context, gone func(owner string) bool)
}

// Owner names this process.
func Owner() string { return strconv.Itoa(os.Getpid()) }

// Gone reports whether an owner is this process or one that has ended.
func Gone(owner string) bool {
	pid, err := strconv.Atoi(owner)
	return err != nil || pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// Image makes the image of this program. The error wraps builder.ErrProgram if it cannot
// be the only one in an image.
func Image(version string) (*builder.Self, error) {
	program, err := Program()
	if err != nil {
		return nil, err
	}
	return builder.NewSelf(version, program, Name+":"+Owner())
}

// Program returns a path of this program's file.
func Program() (string, error) {
	const running = "/proc/self/exe" // also if the file was replaced since
	if _, err := os.Stat(running); err == nil {
		return running, nil
	}
	return os.Executable()
}

// Args returns the arguments by which this program looks at what a spec says.
func Args(s Spec) []string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("probe: %v", err)) // impossible: strings
	}
	return []string{"probe", string(text)}
}

// Print returns a report as Parse finds it again.
func Print(r Report) string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("probe: %v", err)) // impossible: strings
	}
	return mark + string(text)
}

// Parse finds the report on the spec of that ID in what an engine or a builder printed.
func Parse(text, id string) (r Report, err error) {
	for line := range strings.Lines(text) {
		_, found, ok := strings.Cut(line, mark)
		if ok && json.Unmarshal([]byte(found), &r) == nil && r.ID == id {
			return r, nil
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return Report{}, fmt.Errorf("%w, but: %s", errNoReport, lines[len(lines)-1])
}

// A Seen is what a container on one network saw, or why there is nothing.
type Seen struct {
	Network string
	Report  Report
	Err     error
}

// Networks runs a container on each network, all at once, and returns what they saw in
// the order of the networks. spec says what to look at from a network.
func Networks(ctx context.Context, h Host, image *builder.Self, networks []string, spec func(network string) Spec) []Seen {
	all := make([]Seen, len(networks))
	var group sync.WaitGroup
	for i, network := range networks {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, Within)
			defer cancel()
			s := spec(network)
			out, err := h.Run(ctx, image.Ref, network, Args(s))
			if err == nil {
				all[i].Report, err = Parse(out, s.ID)
			}
			all[i].Network, all[i].Err = network, err
		})
	}
	group.Wait()
	return all
}
