package machine

import "testing"

func TestModel(t *testing.T) {
	for _, c := range []struct{ name, cpuinfo, want string }{
		{"two of one kind", "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n\nprocessor\t: 1\nmodel name\t: AMD EPYC\n", "AMD EPYC"},
		{"a colon in it", "model name : a: b\n", "a: b"},
		{"arm64", "processor\t: 0\nCPU implementer\t: 0x41\n", "?"},
		{"nothing", "", "?"},
	} {
		if got := modelIn(c.cpuinfo, "?"); got != c.want {
			t.Errorf("%s: %q instead of %q", c.name, got, c.want)
		}
	}
}
