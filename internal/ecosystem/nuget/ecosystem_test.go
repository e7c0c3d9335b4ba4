package nuget_test

import (
	"testing"

	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/nuget"
)

// example knows feeds of its own, so that the cases name no public host.
func example() *nuget.Ecosystem {
	return nuget.New(nuget.Options{Hosts: []string{"feed.example", "nexus.example/repository/nuget"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }
