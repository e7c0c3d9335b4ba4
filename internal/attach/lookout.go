package attach

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledWithin is how long a lookout waits until a name leads to sutler: the packet filter is
// told a moment after the configuration was read. lookWithin is after what the answer to a
// question counts as lost.
const (
	ledWithin  = 10 * time.Second
	lookWithin = time.Second
	// answerWithin bounds a request to a host.
	answerWithin = 5 * time.Second
)

// lookedAll is the last line of what a lookout prints.
const lookedAll = "done"

// A Lookout says what [Lookout.Print] looks at.
type Lookout struct {
	Hosts   []string
	StandIn string        // the address by which sutler leads names to itself
	Wait    time.Duration // until they lead there
}

// Print prints which names lead to sutler, and which of these hosts answer: it is what the
// throw-away containers of the resolver do.
func (l Lookout) Print(ctx context.Context, w io.Writer) error {
	facts := make([]string, 2*len(l.Hosts))
	end := time.Now().Add(l.Wait)
	var group sync.WaitGroup
	for i, h := range l.Hosts {
		group.Go(func() {
			if leads(ctx, h, l.StandIn, end) {
				facts[2*i] = ledHere(h)
			}
			if answers(ctx, h) {
				facts[2*i+1] = reaches(h)
			}
		})
	}
	group.Wait()
	facts = slices.DeleteFunc(facts, func(f string) bool { return f == "" })
	_, err := fmt.Fprintln(w, strings.Join(append(facts, lookedAll), "\n"))
	return err
}

// leads asks for a name once, and then until it leads to an address or the time has come.
func leads(ctx context.Context, host, to string, end time.Time) bool {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if asked(ctx, host, to) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		<-tick.C
	}
}

// asked asks for a name, and reports whether it leads to an address.
func asked(ctx context.Context, host, to string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var r net.Resolver
	found, err := r.LookupHost(ctx, host)
	return err == nil && slices.Contains(found, to)
}

// answers reports whether a host answers over HTTPS, with any status. There are no roots in
// here to check its certificate with, and nothing is sent that is secret.
func answers(ctx context.Context, host string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "https://"+host+"/", nil)
	if err != nil {
		return false
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // only its status counts
	return true
}
