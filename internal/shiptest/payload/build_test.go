package payload

import (
	"debug/elf"
	"os/exec"
	"runtime"
	"testing"
)

func TestBuild(t *testing.T) {
	path, err := Build(t.Context(), t.TempDir(), runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("not static")
		}
	}
	cmd := exec.Command(path)
	cmd.Env = []string{"CRASH_ON_BOOT=1"}
	if out, err := cmd.CombinedOutput(); err == nil || string(out) != "app: crashed, as told\n" {
		t.Errorf("run: %v, %q", err, out)
	}
}
