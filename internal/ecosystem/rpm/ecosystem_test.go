package rpm_test

import (
	"os"
	"testing"

	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/rpm"
	"sutler/internal/pgp"
)

// recorded returns the ecosystem with the key that signed the recorded cases.
func recorded(t testing.TB) *rpm.Ecosystem {
	t.Helper()
	ring, err := os.ReadFile("testdata/keyring.asc")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := pgp.Check(ring); n != 1 || err != nil {
		t.Fatalf("Check = %d, %v; want one key", n, err)
	}
	return rpm.New(rpm.Options{Keyrings: [][]byte{ring}})
}

func TestEcosystem(t *testing.T) { ecosystemtest.Run(t, recorded(t)) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, recorded(f)) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, recorded(f)) }
