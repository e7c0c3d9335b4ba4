package frontend

import (
	"context"
	"maps"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
)

// Options of a build that are of no concern to the Dockerfile frontend.
const (
	argPrefix     = "build-arg:"
	contextPrefix = "context:"
	// imageName is what the names of the frontend's images end with, before the tag.
	imageName = "sutler-frontend"
	// cmdline tells the Dockerfile frontend that it was chosen, and that a syntax line in
	// the Dockerfile must not choose another one.
	cmdline = "cmdline"
)

// Build is the frontend's entry point: the stock frontend, talking to the solver through
// a client that rewrites what it asks for.
func (s Settings) Build(ctx context.Context, c client.Client) (*client.Result, error) {
	return builder.Build(ctx, newGateway(s, c))
}

// A gateway stands between the Dockerfile frontend and the solver.
type gateway struct {
	client.Client
	settings Settings
	proxy    proxy
	opts     client.BuildOpts
}

func newGateway(s Settings, c client.Client) *gateway {
	opts := c.BuildOpts()
	p := proxy{
		secrets: opts.LLBCaps.Supports(pb.CapExecSecretEnv) == nil,
		url:     opts.Opts[argPrefix+ProxyArg],
		none:    opts.Opts[argPrefix+NoProxyArg],
	}
	opts.Opts = visible(opts.Opts)
	return &gateway{Client: c, settings: s, proxy: p, opts: opts}
}

// BuildOpts returns the user's options, without those that sutler added.
func (g *gateway) BuildOpts() client.BuildOpts {
	opts := g.opts
	opts.Opts = maps.Clone(opts.Opts)
	return opts
}

// Solve asks the solver for the rewritten definition.
func (g *gateway) Solve(ctx context.Context, req client.SolveRequest) (*client.Result, error) {
	if req.Definition != nil && len(req.Definition.Def) > 0 {
		def, err := g.settings.rewrite(req.Definition, g.proxy)
		if err != nil {
			return nil, err
		}
		req.Definition = def
	}
	return g.Client.Solve(ctx, req)
}

func visible(opts map[string]string) map[string]string {
	out := maps.Clone(opts)
	if out == nil {
		out = map[string]string{}
	}
	maps.DeleteFunc(out, func(k, _ string) bool {
		switch k {
		case argPrefix + ProxyArg, argPrefix + NoProxyArg, argPrefix + "BUILDKIT_SYNTAX":
			return true
		}
		return strings.HasPrefix(k, contextPrefix) && strings.Contains(k, imageName+":")
	})
	if _, ok := out[cmdline]; !ok {
		out[cmdline] = imageName
	}
	return out
}
