package composer_test

import (
	"testing"

	"sutler/internal/ecosystem/composer"
	"sutler/internal/ecosystem/ecosystemtest"
)

// example knows a repository of its own, so that the cases name no public host.
func example() *composer.Ecosystem {
	return composer.New(composer.Options{Hosts: []string{"packages.example", "nexus.example/repository/php"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }
