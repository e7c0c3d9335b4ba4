//go:build !race

package sqlite_test

// damages is how many databases TestDamage damages: about five seconds of them.
const damages = 300
