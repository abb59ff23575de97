package session_test

import (
	"testing"

	"github.com/holdfast-security/holdfast/app/session/sessiontest"
	"github.com/holdfast-security/holdfast/app/store/memory"
)

func TestPromises(t *testing.T) {
	sessiontest.Run(t, func(*testing.T) *memory.Store { return memory.New() })
}
