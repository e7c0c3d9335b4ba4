package e2e

import (
	"os"
	"strings"
	"testing"
)

// toolsDockerfile makes the image that clientsDockerfile builds on. The clients come as
// tarballs: Debian's npm alone would bring hundreds of packages.
const toolsDockerfile = `FROM debian:bookworm-slim
ARG REGISTRY
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl wget nodejs && rm -rf /var/lib/apt/lists/*
RUN mkdir -p /opt/yarn1 /opt/pnpm /opt/yarn4 \
 && wget -qO- ${REGISTRY}yarn/-/yarn-1.22.22.tgz | tar -xz -C /opt/yarn1 --strip-components=1 \
 && curl -fsS ${REGISTRY}pnpm/-/pnpm-9.15.9.tgz | tar -xz -C /opt/pnpm --strip-components=1 \
 && curl -fsS ${REGISTRY}@yarnpkg/cli-dist/-/cli-dist-4.5.3.tgz | tar -xz -C /opt/yarn4 --strip-components=1
`

// clientsDockerfile fetches over HTTPS with one client per step.
const clientsDockerfile = `FROM sutler-e2e/tools
ARG REGISTRY
WORKDIR /app
COPY package.json ./
RUN cp -r /app /one && cd /one && node /opt/yarn1/bin/yarn.js install --non-interactive --registry $REGISTRY
RUN cp -r /app /two && cd /two && node /opt/pnpm/bin/pnpm.cjs install --registry $REGISTRY
RUN curl -fsS -o /dev/null ${REGISTRY}left-pad/-/left-pad-1.3.0.tgz
USER nobody
RUN wget -q -O /dev/null ${REGISTRY}is-even/-/is-even-1.0.0.tgz
`

// yarn4Step is for engines that can give a step yarn's own proxy variables.
const yarn4Step = `USER root
RUN cp -r /app /three && cd /three && touch yarn.lock \
 && YARN_NPM_REGISTRY_SERVER=${REGISTRY%/} YARN_ENABLE_TELEMETRY=0 YARN_NODE_LINKER=node-modules node /opt/yarn4/bin/yarn.js install
`

// TestBuildClients installs with yarn 1, pnpm, yarn 4, curl and wget inside of RUN: first
// from their origins, then, with every step run again, from the store alone.
func TestBuildClients(t *testing.T) {
	registry := strings.TrimSuffix(registryFile(t), "left-pad/-/left-pad-1.3.0.tgz")
	for _, tt := range []struct {
		engine, more string
		wants        []string
	}{
		{"docker28", yarn4Step, []string{"/express/-/", "/left-pad-1.3.0.tgz", "/is-even-1.0.0.tgz", "/@types%2fnode"}},
		{"docker20", "", []string{"/express/-/", "/left-pad-1.3.0.tgz", "/is-even-1.0.0.tgz"}},
	} {
		t.Run(tt.engine, func(t *testing.T) {
			d := inEngine(t, tt.engine)
			tools, app := t.TempDir(), t.TempDir()
			write(t, tools+"/Dockerfile", toolsDockerfile)
			write(t, app+"/Dockerfile", clientsDockerfile+tt.more)
			write(t, app+"/package.json", `{"name":"app","version":"1.0.0","private":true,"dependencies":{"express":"4.19.2","@types/node":"20.1.0"}}`)
			d.sutler("build", "--strict", "--build-arg", "REGISTRY="+registry, "-t", "sutler-e2e/tools", tools)
			build := func(more ...string) summary {
				d.sutler(append([]string{"build", "--strict", "--no-cache", "--build-arg", "REGISTRY=" + registry}, append(more, app)...)...)
				return d.last()
			}
			cold := build()
			if cold.Tunnelled > 0 || cold.Failed > 0 || cold.Verified < 70 {
				t.Errorf("cold: %d of %d verified, %d tunnelled, %d failed", cold.Verified, cold.Files, cold.Tunnelled, cold.Failed)
			}
			for _, want := range tt.wants {
				if !cold.has(want) {
					t.Errorf("the receipt has no line of %s", want)
				}
			}
			warm := build("--offline")
			warm.allFromStore(t, 1)
			if warm.Files != cold.Files {
				t.Errorf("%d files at first, %d from the store", cold.Files, warm.Files)
			}
		})
	}
}

// has reports whether a line's URL contains text.
func (s summary) has(text string) bool {
	for _, l := range s.Lines {
		if strings.Contains(l.URL, text) {
			return true
		}
	}
	return false
}

// hostIn returns the address of this machine that an engine's network reaches.
func hostIn(t *testing.T) string {
	t.Helper()
	out := output(t, "ip", "-n", os.Getenv("SUTLER_E2E_NETNS"), "route", "show", "default")
	f := strings.Fields(out)
	if len(f) < 3 || f[1] != "via" {
		t.Fatalf("no default route: %q", out)
	}
	return f[2]
}
