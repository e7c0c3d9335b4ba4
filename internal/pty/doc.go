// Package pty opens terminals for tests: what a program does on one differs from what it
// does on a pipe, and Ctrl-C is a matter of terminals.
package pty
