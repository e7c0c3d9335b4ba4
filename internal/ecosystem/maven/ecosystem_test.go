package maven_test

import (
	"testing"

	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/maven"
)

// example returns the ecosystem with a repository of its own, which the cases use.
func example() *maven.Ecosystem {
	return maven.New(maven.Options{Hosts: []string{"repo.example/maven2", "nexus.example/repository/*"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }
