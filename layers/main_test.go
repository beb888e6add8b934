package layers

import (
	"os"
	"testing"

	"ship/internal/shiptest/lab"
	"ship/internal/shiptest/leak"
)

func TestMain(m *testing.M) {
	lab.Init()
	os.Exit(leak.Main(m))
}
