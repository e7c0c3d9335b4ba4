package apk_test

import (
	"os"
	"testing"

	"sutler/internal/ecosystem/apk"
	"sutler/internal/ecosystem/ecosystemtest"
)

// recorded returns the ecosystem with the key that signed the recorded cases.
func recorded(t testing.TB) *apk.Ecosystem {
	t.Helper()
	b, err := os.ReadFile("testdata/test.rsa.pub")
	if err != nil {
		t.Fatal(err)
	}
	key := apk.Key{Name: "test.rsa.pub", PEM: b}
	if err := apk.CheckKey(key); err != nil {
		t.Fatal(err)
	}
	return apk.New(apk.Options{Keys: []apk.Key{key}, Hosts: []string{"configured.example/apk"}})
}

func TestEcosystem(t *testing.T) { ecosystemtest.Run(t, recorded(t)) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, recorded(f)) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, recorded(f)) }
