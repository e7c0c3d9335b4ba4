package gomod_test

import (
	"testing"

	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/gomod"
)

// exampleKey is the key of the database that the recorded cases come from.
const exampleKey = "sum.example+d0a94eb5+AWGRC9okZCGvJZyQhx6O6TuYGofR4csKuYMoHWZ4HiFt"

// example returns an ecosystem that knows the proxies and the database of the tests.
func example(t testing.TB) *gomod.Ecosystem {
	t.Helper()
	return with(t, exampleKey)
}

// with returns an ecosystem whose configured proxies are vouched for by a database.
func with(t testing.TB, key string) *gomod.Ecosystem {
	t.Helper()
	db, err := gomod.ParseDatabase(key)
	if err != nil {
		t.Fatal(err)
	}
	return gomod.New(gomod.Options{Hosts: []string{"Proxy.example", "nexus.example/repository/go"}, SumDB: db})
}

func TestEcosystem(t *testing.T) { ecosystemtest.Run(t, example(t)) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example(f)) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example(f)) }
