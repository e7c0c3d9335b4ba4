// Package builder runs the user's own docker build, with an unchanged Dockerfile, so that
// the clients in its RUN steps reach sutler.
//
// With BuildKit the build is given a frontend of ours (cmd/sutler-frontend), as an image
// that is loaded into the engine and never pulled, and secrets with the proxy's URL and
// the files that clients need. With the classic builder, and whenever the frontend cannot
// be handed over, it is given the predefined proxy build arguments, which serve plain
// HTTP only. All arguments of the user go to the engine untouched, in front of them ours;
// the package never writes into a build context and never changes an engine's settings.
package builder
