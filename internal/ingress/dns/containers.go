package dns

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	miekg "github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
)

const (
	// keepEngine is how long an answer of the engine serves further questions.
	keepEngine = time.Second
	// maxNames bounds the names whose answers are kept.
	maxNames = 1024
	// inspectAtOnce bounds the requests that look for an alias.
	inspectAtOnce = 4
)

// Labels that docker compose gives the containers of a service.
const (
	composeService = "com.docker.compose.service"
	composeProject = "com.docker.compose.project"
)

// containers answers names of containers by asking the engine. Nothing is kept longer than
// keepEngine: the engine's word is the only one.
type containers struct {
	api   *engineAPI
	group singleflight.Group

	mu   sync.Mutex
	kept map[string]kept
}

// kept is a short-lived answer of the engine.
type kept struct {
	at    time.Time
	value any
	err   error
}

func newContainers(e Engine) (*containers, error) {
	api, err := newEngineAPI(e)
	return &containers{api: api, kept: map[string]kept{}}, err
}

// once calls ask unless it was called for that key within keepEngine; callers at the same
// time share one call.
func once[T any](ctx context.Context, c *containers, key string, ask func(context.Context) (T, error)) (T, error) {
	c.mu.Lock()
	k, ok := c.kept[key]
	c.mu.Unlock()
	if ok && time.Since(k.at) < keepEngine {
		v, _ := k.value.(T)
		return v, k.err
	}
	done := c.group.DoChan(key, func() (any, error) {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWithin)
		defer cancel()
		at := time.Now()
		v, err := ask(within)
		c.keep(key, kept{at, v, err})
		return v, err
	})
	select {
	case r := <-done:
		v, _ := r.Val.(T)
		return v, r.Err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (c *containers) keep(key string, k kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= maxNames {
		clear(c.kept)
	}
	c.kept[key] = k
}

// answer answers for NAME.domain: all addresses of the containers of that name, TTL 0.
func (c *containers) answer(ctx context.Context, q query, domain string) *miekg.Msg {
	full := strings.TrimSuffix(q.question.Name, ".") // the engine tells cases apart
	name := strings.TrimSuffix(full[:len(full)-len(domain)], ".")
	if name == "" {
		return local(q, miekg.RcodeSuccess)
	}
	if !containerName(name) {
		return local(q, miekg.RcodeNameError)
	}
	addrs, err := once(ctx, c, "name "+name, func(ctx context.Context) ([]netip.Addr, error) { return c.find(ctx, name) })
	switch {
	case errors.Is(err, errNoContainer):
		return local(q, miekg.RcodeNameError)
	case err != nil:
		return reply(q.msg, miekg.RcodeServerFailure)
	}
	m := local(q, miekg.RcodeSuccess)
	for _, a := range addrs {
		if a.Is4() {
			add(q, m, &miekg.A{Hdr: header(q.question.Name, miekg.TypeA), A: a.AsSlice()})
		} else {
			add(q, m, &miekg.AAAA{Hdr: header(q.question.Name, miekg.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	return m
}

// find returns the addresses of the container with that name or id; else of all with that
// link alias, compose service or network alias; else of the one whose id begins so. An id
// comes last, because names like "db" and "cafe" begin ids too.
func (c *containers) find(ctx context.Context, name string) ([]netip.Addr, error) {
	one, err := c.api.inspect(ctx, name)
	if err != nil && !errors.Is(err, errNoContainer) {
		return nil, err
	}
	if err == nil && (one.Name == "/"+name || strings.EqualFold(one.ID, name)) {
		return one.addresses(), nil
	}
	all, listErr := once(ctx, c, "list", c.api.list)
	if listErr != nil {
		return nil, listErr
	}
	if some := matching(all, func(l listed) bool { return l.called(name) }); len(some) > 0 {
		return some, nil
	}
	aliases, aliasErr := once(ctx, c, "aliases", func(ctx context.Context) (map[string][]netip.Addr, error) { return c.aliases(ctx, all) })
	if aliasErr != nil {
		return nil, aliasErr
	}
	if some := aliases[strings.ToLower(name)]; len(some) > 0 {
		return some, nil
	}
	return one.addresses(), err
}

// matching returns the addresses of the containers that match.
func matching(all []listed, match func(listed) bool) []netip.Addr {
	var out []netip.Addr
	for _, l := range all {
		if !match(l) {
			continue
		}
		for _, a := range l.addresses() {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// called reports whether a container has a name, a link alias ("db.app" for "/app/db"), or
// is of a compose service ("service" or "service.project").
func (l listed) called(name string) bool {
	parts := strings.Split(name, ".")
	slices.Reverse(parts)
	link := "/" + strings.Join(parts, "/")
	for _, n := range l.Names {
		if strings.EqualFold(n, "/"+name) || strings.EqualFold(n, link) {
			return true
		}
	}
	s, p := l.Labels[composeService], l.Labels[composeProject]
	return s != "" && (strings.EqualFold(s, name) || strings.EqualFold(s+"."+p, name))
}

// aliases asks for the network aliases of all containers, which the list leaves out.
func (c *containers) aliases(ctx context.Context, all []listed) (map[string][]netip.Addr, error) {
	out := map[string][]netip.Addr{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inspectAtOnce)
	for _, l := range all {
		g.Go(func() error {
			one, err := c.api.inspect(ctx, l.ID)
			if errors.Is(err, errNoContainer) {
				return nil // it ended meanwhile
			}
			mu.Lock()
			defer mu.Unlock()
			for _, n := range one.NetworkSettings.Networks {
				for _, alias := range n.Aliases {
					if key := strings.ToLower(alias); !strings.HasPrefix(one.ID, alias) {
						out[key] = append(out[key], addresses(n)...)
					}
				}
			}
			return err
		})
	}
	return out, g.Wait()
}

// reverse answers which container has an address; nil if none has.
func (c *containers) reverse(ctx context.Context, q query, domain string) *miekg.Msg {
	a, ok := reverseAddr(q.name)
	if !ok || !a.IsPrivate() {
		return nil
	}
	all, err := once(ctx, c, "list", c.api.list)
	if err != nil {
		return nil // others may know it
	}
	m := local(q, miekg.RcodeSuccess)
	for _, l := range all {
		if slices.Contains(l.addresses(), a) && len(l.Names) > 0 {
			m.Answer = append(m.Answer, &miekg.PTR{Hdr: header(q.question.Name, miekg.TypePTR),
				Ptr: miekg.Fqdn(l.primary() + "." + domain)})
		}
	}
	if len(m.Answer) == 0 {
		return nil
	}
	return m
}

// primary returns the name of a container that is no link alias.
func (l listed) primary() string {
	for _, n := range l.Names {
		if bare := strings.TrimPrefix(n, "/"); !strings.Contains(bare, "/") {
			return bare
		}
	}
	return l.ID[:min(12, len(l.ID))]
}

// containerName reports whether s can be a name or id of a container at all; nothing else
// goes into a request to the engine.
func containerName(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != "." && s != ".."
}
