package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"sutler/internal/index"
	"sutler/internal/index/indextest"
	"sutler/internal/index/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIndex(t *testing.T) {
	indextest.Run(t, func(*testing.T) index.Index { return memory.New() })
}

func TestCatalog(t *testing.T) {
	indextest.RunCatalog(t, func(*testing.T) indextest.Catalog { return memory.New() })
}
