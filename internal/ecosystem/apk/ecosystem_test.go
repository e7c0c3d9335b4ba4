package apk_test

import (
	"os"
	"path/filepath"
	"testing"

	"sutler/internal/ecosystem/apk"
	"sutler/internal/ecosystem/ecosystemtest"
)

// recorded returns the ecosystem with the keys that signed the recorded cases.
func recorded(t testing.TB) *apk.Ecosystem {
	t.Helper()
	files, err := filepath.Glob("testdata/*.pub")
	if err != nil {
		t.Fatal(err)
	}
	var keys []apk.Key
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, apk.Key{Name: filepath.Base(file), PEM: b})
		if err := apk.CheckKey(keys[len(keys)-1]); err != nil {
			t.Fatal(err)
		}
	}
	return apk.New(apk.Options{Keys: keys, Hosts: []string{"configured.example/apk"}})
}

func TestEcosystem(t *testing.T) { ecosystemtest.Run(t, recorded(t)) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, recorded(f)) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, recorded(f)) }
