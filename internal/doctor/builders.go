package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sutler/internal/probe"
)

// A workshop is one builder of this machine, and how it is made to build.
type workshop struct {
	name string // for people
	why  string // why it is not asked, "" if it is
	env  []string
	// build is the command, without the folder to build, which comes last.
	build []string
	// copies says that it can only copy the program into an image.
	copies bool
	// records lists the records of its cache, and prune removes those that a regular
	// expression of ids, added to its last argument, names. Nil: it has no cache but images.
	records, prune []string
	// images are the clients that may hold its images.
	images []string
	// mirror says that it asks sutler for base images first.
	mirror bool
	// engine is the engine in which it is, "" for none.
	engine string
}

// kit returns a workshop of BuildKit by buildx.
func kit(name, builder string) workshop {
	of := func(command string, more ...string) []string {
		return append([]string{"docker", "buildx", command, "--builder", builder}, more...)
	}
	return workshop{name: name, build: of("build", "--progress=plain", "--output=type=cacheonly"),
		records: of("du", "--verbose"), prune: of("prune", "--force", "--filter", "id=")}
}

// workshops finds the builders of this machine. It starts none.
func (x *exam) workshops(ctx context.Context) []workshop {
	out := x.dockerBuilders(ctx)
	out = append(out, x.buildKit())
	for _, name := range []string{"buildah", "podman"} {
		w := workshop{name: name, copies: true, images: []string{name}, build: []string{name, "build", "--layers=false", "--force-rm"}, mirror: x.mentioned("/etc/containers/registries.conf", "/etc/containers/registries.conf.d/*.conf")}
		if _, err := x.Run(ctx, nil, name, "version"); err != nil {
			w.why = clientError(err).Error()
		}
		out = append(out, w)
	}
	return out
}

// dockerBuilders finds the two builders of dockerd, and those of buildx.
func (x *exam) dockerBuilders(ctx context.Context) []workshop {
	d := x.docker()
	mirror := slices.ContainsFunc(d.info.RegistryConfig.Mirrors, x.ours)
	var out []workshop
	if d.err == nil {
		out = append(out, workshop{name: "docker build, classic", engine: d.name, mirror: mirror, copies: true, env: []string{"DOCKER_BUILDKIT=0"},
			build: []string{"docker", "build", "--force-rm"}, images: []string{"docker"}})
	} else {
		out = append(out, workshop{name: "docker build", why: "docker: " + d.err.Error()})
	}
	text, err := x.Run(ctx, nil, "docker", "buildx", "ls")
	switch {
	case err != nil && d.err == nil && d.major() < 23:
		return append(out, workshop{name: "docker build, BuildKit", engine: d.name, mirror: mirror, env: []string{"DOCKER_BUILDKIT=1"},
			build: []string{"docker", "build", "--progress=plain", "--output=type=cacheonly"}, records: []string{"docker", "system", "df", "--verbose", "--format", "{{json .BuildCache}}"},
			prune: []string{"docker", "builder", "prune", "--force", "--filter", "id="}})
	case err != nil:
		return append(out, workshop{name: "buildx", why: "docker buildx does not work: " + clientError(err).Error()})
	}
	for _, b := range parseBuilders(string(text)) {
		w := kit("buildx builder "+b.name, b.name)
		switch {
		case b.driver == "docker":
			if d.err != nil {
				continue // said above
			}
			w.name, w.mirror, w.engine = "docker build, BuildKit", mirror, d.name
		case b.driver != "docker-container" && b.driver != "remote":
			w.why = "its driver " + b.driver + " is not on this machine"
		default:
			more, err := x.Run(ctx, nil, "docker", "buildx", "inspect", b.name)
			w.mirror = err == nil && x.mentions(string(more))
		}
		if !b.running && w.why == "" {
			w.why = "it is not running"
		}
		out = append(out, w)
	}
	return out
}

// A buildx builder is what is read of one in `docker buildx ls`.
type buildxBuilder struct {
	name, driver string
	running      bool
}

// parseBuilders reads `docker buildx ls`: a line for each builder, and lines that are set
// in for its nodes. Builders that cannot be reached have no driver.
func parseBuilders(text string) []buildxBuilder {
	var out []buildxBuilder
	for line := range strings.Lines(text) {
		f := slices.DeleteFunc(strings.Fields(line), func(s string) bool { return s == "*" || s == `\_` })
		if len(f) < 2 || f[0] == "NAME/NODE" || f[0] == "Cannot" {
			continue
		}
		if line[0] != ' ' {
			out = append(out, buildxBuilder{name: strings.TrimSuffix(f[0], "*"), driver: f[1]})
		} else if n := len(out); n > 0 {
			out[n-1].running = out[n-1].running || slices.Contains(f, "running")
		}
	}
	return slices.DeleteFunc(out, func(b buildxBuilder) bool { return b.driver == "error" })
}

// kitSocket is where a buildkitd of this machine listens by default.
const kitSocket = "/run/buildkit/buildkitd.sock"

// buildKit finds the buildkitd that buildctl talks to.
func (x *exam) buildKit() workshop {
	w := workshop{name: "buildctl", mirror: x.mentioned("/etc/buildkit/buildkitd.toml"),
		build:   []string{"buildctl", "build", "--progress=plain", "--frontend=dockerfile.v0"},
		records: []string{"buildctl", "du", "--verbose"}, prune: []string{"buildctl", "prune", "--filter", "id~="}}
	if _, err := x.Stat(kitSocket); err != nil && x.variable("BUILDKIT_HOST") == "" {
		w.why = "there is no buildkitd: BUILDKIT_HOST is not set, and nobody has " + kitSocket
	}
	return w
}

// mentioned reports whether one of these files names an address of sutler's.
func (x *exam) mentioned(patterns ...string) bool {
	for _, pattern := range patterns {
		files, err := x.Glob(pattern)
		if err != nil {
			continue // no pattern here is malformed
		}
		for _, f := range files {
			if text, err := x.ReadFile(f); err == nil && x.mentions(string(text)) {
				return true
			}
		}
	}
	return false
}

// mentions reports whether a text names an address of sutler's.
func (x *exam) mentions(text string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n\"'[],=<>", r) }), x.ours)
}

// checkBuilders looks from inside a step of a throw-away build of each builder.
func checkBuilders(ctx context.Context, x *exam) []Finding {
	if !x.up() || len(x.status.Listen) == 0 {
		return skipped(notRunning)
	}
	var out []Finding
	for _, w := range x.workshops(ctx) {
		if w.why != "" {
			out = append(out, Finding{Severity: Skipped, Where: w.name, What: w.name + ": " + w.why})
			continue
		}
		out = append(out, x.inBuilder(ctx, w)...)
	}
	return out
}

// inBuilder builds once and says what the step saw.
func (x *exam) inBuilder(ctx context.Context, w workshop) []Finding {
	if _, found := x.Run(ctx, nil, w.build[0], "--version"); errors.Is(clientError(found), errNoClient) {
		return []Finding{{Severity: Skipped, Where: w.name, What: w.name + " " + errNoClient.Error()}}
	}
	bridge, at := x.entrance(ctx)
	s := x.spec(at)
	s.ID, s.Others = fmt.Sprintf("%s-%d", probe.Owner(), x.Now().UnixNano()), x.status.Listen
	r, err := x.step(ctx, w, s)
	if err != nil {
		return []Finding{{Severity: Warning, Where: w.name, What: w.name + ": a throw-away build fails: " + err.Error(), Fix: "see what the builder says", Command: strings.Join(append(slices.Concat(w.env, w.build), "DIRECTORY"), " ")}}
	}
	served := r.Proxy != "" && r.Files
	bridge.Name = "steps of " + w.name
	out := x.diagnose(ctx, r, spot{where: w.name, who: "steps", network: bridge})
	for i := range out {
		if out[i].Severity == Broken && !served && w.engine == "" {
			out[i].Severity = Warning // nothing of sutler's is lost there
		}
	}
	return append(x.service(w, r), out...)
}

// entrance returns docker's default bridge and sutler's address there, by which builders of
// this machine reach it, if there is no docker at least one at which it listens.
func (x *exam) entrance(ctx context.Context) (network, string) {
	d := x.docker()
	if d.err == nil {
		all, err := x.networks(ctx, d)
		if i := slices.IndexFunc(all, func(n network) bool { return n.Name == "bridge" }); err == nil && i >= 0 {
			return all[i], x.endpoint(d, all[i])
		}
	}
	return network{}, x.status.Listen[0]
}

// service says whether what plain builds fetch comes through sutler.
func (x *exam) service(w workshop, r probe.Report) []Finding {
	base := "base images do not come through a mirror of sutler's"
	if w.mirror {
		base = "base images come through the mirror"
	}
	phases, _, err := x.attached()
	_, attached := phases["docker"]
	switch {
	case r.Proxy != "" && r.Files:
		return ok(w.name, "steps of a plain build are served by sutler; "+base)
	case r.Proxy != "" && !x.ours(r.Proxy):
		return []Finding{{Severity: Warning, Where: w.name, What: "steps of a plain build are given another proxy, " + r.Proxy + ", not sutler; " + base,
			Fix: "take it out of the builder's or docker's configuration; if origins are reached through it only, set upstream.proxy to it"}}
	case r.Proxy != "":
		return []Finding{{Severity: Warning, Where: w.name, What: "steps of a plain build are given sutler's proxy without its authority: what they fetch over TLS is tunnelled, not stored; " + base,
			Fix: "take the proxy out of docker's configuration: `sutler build` sets both"}}
	case err == nil && attached && w.engine == "docker" && !w.mirror:
		return []Finding{{Severity: Warning, Where: w.name, What: "docker is attached, but a plain build is not served, and " + base, Fix: "attach it again", Command: "sutler attach docker"}}
	}
	return ok(w.name, "steps of a plain build are not served, `sutler build` serves them; "+base)
}

// step makes a builder run a step that looks at what the spec says, and removes what the
// build left.
func (x *exam) step(ctx context.Context, w workshop, s probe.Spec) (r probe.Report, err error) {
	spec, err := json.Marshal(s)
	if err != nil {
		return r, err
	}
	dir, remove, err := x.Context(map[string]string{"Dockerfile": w.dockerfile(), specFile: string(spec)})
	if err != nil {
		return r, err
	}
	defer remove()
	ctx, cancel := context.WithTimeout(ctx, probe.Within)
	defer cancel()
	before := x.cached(ctx, w)
	command := append(slices.Clone(w.build), dir)
	if w.build[0] == "buildctl" {
		command = append(slices.Clone(w.build), "--local=context="+dir, "--local=dockerfile="+dir)
	}
	text, err := x.Build(ctx, w.env, command[0], command[1:]...)
	x.forget(context.WithoutCancel(ctx), w, before)
	r, parse := probe.Parse(string(text), s.ID)
	if parse != nil && err != nil {
		return r, fmt.Errorf("%w: %w", err, parse)
	}
	return r, parse // how the build went on is not of interest
}

// specFile is what says, in the folder of a build, what its step is to look at.
const specFile = "spec.json"

// dockerfile returns a build that looks at what the spec says. Nothing is copied where the
// folder can be mounted.
func (w workshop) dockerfile() string {
	const at = "/" + probe.Name
	run := `["` + at + `/sutler", "probe", "` + at + "/" + specFile + "\"]\n"
	if w.copies {
		return "FROM scratch\nLABEL " + probe.Name + "=" + probe.Owner() + "\nCOPY sutler " + specFile + " " + at + "/\nRUN " + run
	}
	return "FROM scratch\nRUN --mount=type=bind,target=" + at + " " + run
}

// A record is one of a builder's cache.
type record struct{ ID, Description string }

// cached lists the records of a builder's cache; those that cannot be read are none.
func (x *exam) cached(ctx context.Context, w workshop) []record {
	if w.records == nil {
		return nil
	}
	text, err := x.Run(ctx, nil, w.records[0], w.records[1:]...)
	var out []record
	if err != nil || json.Unmarshal(text, &out) == nil {
		return out
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case key == "ID":
			out = append(out, record{ID: value})
		case key == "Description" && len(out) > 0:
			out[len(out)-1].Description = value
		}
	}
	return out
}

// forget removes what a throw-away build left: images that bear its label, records of its
// step, also of earlier ones, and of the folder that it was given. A record that a build is
// using stays; builders let go of ours a moment after they have said that the build is done.
func (x *exam) forget(ctx context.Context, w workshop, before []record) {
	ctx, cancel := context.WithTimeout(ctx, probe.Within)
	defer cancel()
	for _, client := range w.images {
		x.forgetImages(ctx, client)
	}
	for end := time.Now().Add(releaseWithin); ; {
		ids := x.left(ctx, w, before)
		if len(ids) == 0 || time.Now().After(end) {
			return // the builder's own collection does the rest later
		}
		last := len(w.prune) - 1
		args := append(slices.Clone(w.prune[1:last]), w.prune[last]+"^("+strings.Join(ids, "|")+")$")
		_, _ = x.Run(ctx, nil, w.prune[0], args...) // what stays is seen next
		select {
		case <-time.After(releaseWithin / 20):
		case <-ctx.Done():
			return
		}
	}
}

// releaseWithin is how long a record is waited for that is still used.
const releaseWithin = 3 * time.Second

// left returns the records that a throw-away build left.
func (x *exam) left(ctx context.Context, w workshop, before []record) (ids []string) {
	for _, r := range x.cached(ctx, w) {
		step := strings.Contains(r.Description, "/"+probe.Name+"/sutler")
		folder := strings.HasPrefix(r.Description, "local source for ") && !slices.Contains(before, r)
		if step || folder {
			ids = append(ids, strings.TrimSuffix(r.ID, "*"))
		}
	}
	return ids
}

// forgetImages removes the nameless images of this process's builds, and those that one
// which was killed left.
func (x *exam) forgetImages(ctx context.Context, client string) {
	own := "label=" + probe.Name + "=" + probe.Owner()
	if client != "buildah" {
		// What fails is tried again by the next one.
		_, _ = x.Run(ctx, nil, client, "image", "prune", "--force", "--filter", own)
		_, _ = x.Run(ctx, nil, client, "image", "prune", "--force", "--filter", "label="+probe.Name, "--filter", "until="+abandoned)
		return
	}
	text, err := x.Run(ctx, nil, client, "images", "--all", "--quiet", "--no-trunc", "--filter", own)
	if ids := strings.Fields(string(text)); err == nil && len(ids) > 0 {
		_, _ = x.Run(ctx, nil, client, append([]string{"rmi"}, ids...)...) // likewise
	}
}

// abandoned is the age from which a build's image belongs to nobody who still runs.
const abandoned = "10m"
