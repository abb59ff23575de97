package memory_test

import (
	"testing"

	"github.com/holdfast-security/holdfast/app/store/memory"
	"github.com/holdfast-security/holdfast/app/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) *memory.Store { return memory.New() })
}
