package huggingface_test

import (
	"testing"

	"sutler/internal/ecosystem/ecosystemtest"
	"sutler/internal/ecosystem/huggingface"
)

// example knows a hub of its own, so that the cases name no public host.
func example() *huggingface.Ecosystem {
	return huggingface.New(huggingface.Options{Hosts: []string{"hub.example"}})
}

func TestContract(t *testing.T) { ecosystemtest.Run(t, example()) }

func FuzzClassify(f *testing.F) { ecosystemtest.FuzzClassify(f, example()) }

func FuzzInspect(f *testing.F) { ecosystemtest.FuzzInspect(f, example()) }
