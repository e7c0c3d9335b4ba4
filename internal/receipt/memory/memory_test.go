package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"sutler/internal/receipt/memory"
	"sutler/internal/receipt/receipttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	receipttest.Run(t, func(*testing.T) receipttest.Store { return memory.New() })
}
