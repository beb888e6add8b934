package layers

import (
	"os"
	"testing"

	"ship/internal/shiptest/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Main(m)) }
