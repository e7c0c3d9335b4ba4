// Package ociruntime is what runs in place of runc or crun: it gives the steps of
// container builds the way to sutler, and then becomes the real runtime.
//
// On `create` and `run` of a build step it edits config.json in the bundle: a read-only
// mount of the settings' files at /dev/sutler, and variables that the step does not have.
// /dev is a tmpfs in each step, and a bundle is no part of an image or a cache key, so that
// nothing of it stays. Any other container, and any other command, is left alone.
//
// Every error means the same: the real runtime runs as if this program were not there. It
// starts with every command on every container of the engine, so it imports little, opens
// only a few small files and waits for nobody.
//
// The daemon writes what steps are given, and listens to what is reported; see [Settings]
// and [Report].
package ociruntime
