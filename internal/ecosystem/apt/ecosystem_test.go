package apt_test

import (
	"os"
	"testing"

	"sutler/internal/ecosystem/apt"
	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/pgp"
)

// recorded returns the ecosystem with the keys that signed the recorded cases.
func recorded(t testing.TB) *apt.Ecosystem {
	t.Helper()
	ring, err := os.ReadFile("testdata/keyring.asc")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := pgp.Check(ring); n != 1 || err != nil {
		t.Fatalf("Check = %d, %v; want one key", n, err)
	}
	return apt.New(apt.Options{Keyrings: [][]byte{ring}})
}

func TestEcosystem(t *testing.T) { ecosystemtest.Run(t, recorded(t)) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, recorded(f)) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, recorded(f)) }
