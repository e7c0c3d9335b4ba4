package hex_test

import (
	"testing"

	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/hex"
)

// example knows a repository of its own, so that the cases name no public host.
func example() *hex.Ecosystem {
	return hex.New(hex.Options{Hosts: []string{"hex.example"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }
