package transfer

import (
	"fmt"
	"strings"

	"ship/layers"
)

// smallLoad: layers that are smaller than this together, in bytes, do not get a load of their own. A load costs an
// engine up to 0.2 s, whatever its size.
const smallLoad = 8 << 20

// Asked is one host, the image for its platform, and its answer.
type Asked struct {
	Host    string
	Image   *layers.Image
	Holding Holding
}

// Plan says what a push will send where. It is made of values only: making one changes nothing.
type Plan struct {
	Hosts []HostPlan // as asked
}

// HostPlan is the plan for one host.
type HostPlan struct {
	Asked
	Missing []int         // layers to send, by index, bottom first
	Accept  layers.Accept // how they may be compressed
	Loads   []Load        // in order; none when nothing is left to do but tagging
	Send    int64         // estimate of what will be sent, bytes
	Need    int64         // estimate of the disk space it takes on the host, bytes
	Refused *PreflightError
}

// Load is one `docker load`.
type Load struct {
	Layers []int // that it brings, by index, bottom first; may be empty in the last one
	Top    int   // it makes the image of the lowest Top layers: a part, or in the last one the image
}

// NewPlan decides what each host gets. diskFactor times the estimated need has to be free on the host; 0 = do not
// check.
func NewPlan(asked []Asked, diskFactor float64) Plan {
	var p Plan
	for _, a := range asked {
		p.Hosts = append(p.Hosts, newHostPlan(a, diskFactor, smallLoad))
	}
	return p
}

func newHostPlan(a Asked, diskFactor float64, small int64) HostPlan {
	h := HostPlan{Asked: a, Accept: layers.Accept{Zstd: a.Holding.Info.Zstd()}}
	if a.Holding.tagged != "" {
		return h
	}
	h.Missing = a.Holding.Held.Missing(a.Image)
	if a.Holding.probed == "" {
		h.Loads = group(a.Image, h.Missing, small)
	}
	for _, i := range h.Missing {
		h.Send += sendSize(a.Image.Layers[i].Blob)
	}
	h.Need = diskNeed(h)
	h.Refused = h.refuse(diskFactor)
	return h
}

// group cuts the missing layers into loads: a new one begins where both what it leaves behind and what is still to
// come are worth a load: no less than small bytes.
func group(img *layers.Image, missing []int, small int64) []Load {
	// Of layers whose size is not known, two make a load: they may be large.
	weight := func(i int) int64 {
		b := img.Layers[i].Blob
		if b.Size < 0 && b.Estimate == 0 {
			return small / 2
		}
		return b.Roughly()
	}
	rest := int64(0)
	for _, i := range missing {
		rest += weight(i)
	}
	loads := []Load{{}}
	size := int64(0)
	for _, i := range missing {
		if size >= small && rest >= small {
			loads, size = append(loads, Load{}), 0
		}
		l := &loads[len(loads)-1]
		l.Layers, l.Top = append(l.Layers, i), i+1
		size += weight(i)
		rest -= weight(i)
	}
	loads[len(loads)-1].Top = len(img.Layers) // held layers above the last missing one
	return loads
}

func (h HostPlan) refuse(diskFactor float64) *PreflightError {
	free := h.Holding.Free
	need := int64(float64(h.Need) * diskFactor)
	if free < 0 || need <= free {
		return nil
	}
	return &PreflightError{
		Host:  h.Host,
		Cause: fmt.Sprintf("disk too small: needs about %s in %s, %s free", bytesText(need), h.Holding.Info.RootDir, bytesText(free)),
		Help:  "make room on the host (`docker system df`, `ship prune`) or give it a larger disk",
	}
}

// String is the plan for people, one block a host.
func (p Plan) String() string {
	var b strings.Builder
	for _, h := range p.Hosts {
		b.WriteString(h.String())
	}
	return b.String()
}

// String says what will happen to the host, and why.
func (h HostPlan) String() string {
	var b strings.Builder
	n, info := len(h.Image.Layers), h.Holding.Info
	store := "graph driver"
	if info.ContainerdStore {
		store = "containerd store"
	}
	fmt.Fprintf(&b, "%s: docker %s, %s: ", h.Host, info.ServerVersion, store)
	switch {
	case h.Refused != nil:
		fmt.Fprintf(&b, "refused: %s\n", h.Refused.Cause)
		return b.String()
	case h.Holding.tagged != "":
		b.WriteString("has the image, nothing to do\n")
		return b.String()
	case h.Holding.probed != "":
		b.WriteString("has the image, only tag it\n")
		return b.String()
	case len(h.Missing) == 0:
		fmt.Fprintf(&b, "holds all %d layers, load the metadata\n", n)
		return b.String()
	}
	fmt.Fprintf(&b, "holds %d of %d layers, send about %s in %d %s as %s\n",
		n-len(h.Missing), n, bytesText(h.Send), len(h.Loads), plural(len(h.Loads), "load"), compressionText(h.Accept))
	for k, l := range h.Loads {
		fmt.Fprintf(&b, "  load %d makes layers 1 to %d:", k+1, l.Top)
		for _, i := range l.Layers {
			fmt.Fprintf(&b, " %s", h.Image.Layers[i].DiffID.Short())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func compressionText(a layers.Accept) string {
	if a.Zstd {
		return "zstd"
	}
	return "gzip"
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// bytesText is a size for people, in powers of 1000 as disks and links are sold.
func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
