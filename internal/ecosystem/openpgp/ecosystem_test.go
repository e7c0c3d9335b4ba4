package openpgp_test

import (
	"testing"

	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/openpgp"
)

// example returns the ecosystem with a keyserver of its own, which the cases use.
func example() *openpgp.Ecosystem {
	return openpgp.New(openpgp.Options{Hosts: []string{"keys.example"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }
