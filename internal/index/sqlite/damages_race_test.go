//go:build race

package sqlite_test

// damages is how many databases TestDamage damages; the race detector is eight times as
// slow, and there is nothing for it to find here.
const damages = 30
