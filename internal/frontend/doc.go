// Package frontend is the stock Dockerfile frontend of BuildKit, with one change: every
// RUN step that has a network gets sutler's proxy, files and variables.
//
// The build definition is rewritten on its way from the frontend to the solver, after
// the Dockerfile was read, so that ONBUILD, heredocs, exec form, SHELL and USER need no
// care. What is added is constant and therefore leaves the layer cache alone:
//
//   - files are optional secrets below /dev/sutler, of which the cache key holds the name
//     and not the content; /dev is a tmpfs, so that no mount point stays in the image;
//   - variables belong to the step and not to the image's configuration;
//   - the proxy, the only thing that changes from build to build, is a secret in the
//     environment. Engines before BuildKit 0.9 ignore those and get a proxy variable in
//     BuildKit's own sense, which is not part of the cache key either. Newer engines must
//     not get it that way, because they write it into the provenance of the image.
//
// What the user set stays: a variable of the image or the Dockerfile is never replaced,
// and a step with a proxy of its own keeps it.
package frontend
