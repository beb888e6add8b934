package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// ImageInfo is one image as an engine holds it.
type ImageInfo struct {
	ID                string // graph driver: digest of the config; containerd store: digest of the manifest
	RepoTags          []string
	DiffIDs           []string // of the layers, bottom first
	OS, Arch, Variant string
	Created           time.Time
	Size              int64 // bytes, in the engine's own way of counting: compare on one engine only
	Labels            map[string]string
	Env               []string
	Entrypoint, Cmd   []string
	User              string
	HasHealthcheck    bool
	ExposedPorts      []string // "80/tcp", sorted

	// Available: every blob the image names is in the containerd store. Unpacked: a container can start from it. Where
	// the engine cannot tell (graph drivers, API before 1.48) both are true.
	Available, Unpacked bool
}

// InspectImage returns ErrNotFound when the engine has no image of that name.
func (c *Client) InspectImage(ctx context.Context, ref string) (ImageInfo, error) {
	var a imageAnswer
	// Engines that do not know the parameter pass over it.
	r := get("inspect image", "/images/"+ref+"/json", url.Values{"manifests": {"1"}})
	if err := c.do(ctx, r, &a); err != nil {
		return ImageInfo{}, err
	}
	return a.info(), nil
}

// ImageSummary is an image in a list.
type ImageSummary struct {
	ID       string
	RepoTags []string
	Labels   map[string]string
	Created  time.Time
	Size     int64 // bytes
}

// ListImages leaves out intermediate images of builds. With hundreds of images in a containerd store it takes seconds.
func (c *Client) ListImages(ctx context.Context) ([]ImageSummary, error) {
	return c.listImages(ctx, nil)
}

// ListImagesNamed lists the images with a name that matches pattern (path.Match, with or without the tag). It is quick
// also where ListImages is not: the engine measures only what it lists.
func (c *Client) ListImagesNamed(ctx context.Context, pattern string) ([]ImageSummary, error) {
	filter, err := json.Marshal(map[string][]string{"reference": {pattern}})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	return c.listImages(ctx, url.Values{"filters": {string(filter)}})
}

func (c *Client) listImages(ctx context.Context, query url.Values) ([]ImageSummary, error) {
	var a []struct {
		ID            string `json:"Id"`
		RepoTags      []string
		Labels        map[string]string
		Created, Size int64
	}
	if err := c.do(ctx, get("list images", "/images/json", query), &a); err != nil {
		return nil, err
	}
	out := make([]ImageSummary, len(a))
	for i, m := range a {
		out[i] = ImageSummary{ID: m.ID, RepoTags: realTags(m.RepoTags), Labels: m.Labels, Created: time.Unix(m.Created, 0), Size: m.Size}
	}
	return out, nil
}

// TagImage gives the image ref the name repo:tag as well, taking it from the image that had it.
func (c *Client) TagImage(ctx context.Context, ref, repo, tag string) error {
	q := url.Values{"repo": {repo}, "tag": {tag}}
	return c.do(ctx, post("tag image", "/images/"+ref+"/tag", q, nil), nil)
}

// RemoveImage removes the name ref, and the image with its last name. It returns ErrNotFound, or ErrConflict when a
// container uses the image.
func (c *Client) RemoveImage(ctx context.Context, ref string) error {
	return c.do(ctx, request{op: "remove image", method: http.MethodDelete, path: "/images/" + ref}, nil)
}

// SaveImage streams the archive that `docker save` writes. An engine that fails on the way can only break off.
func (c *Client) SaveImage(ctx context.Context, ref string) (io.ReadCloser, error) {
	resp, err := c.open(ctx, get("save image", "/images/"+ref+"/get", nil))
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// imageAnswer is what engines say of one image.
type imageAnswer struct {
	ID                        string `json:"Id"`
	RepoTags                  []string
	Os, Architecture, Variant string
	Created                   timestamp
	Size                      int64
	RootFS                    struct{ Layers []string }
	Config                    *configAnswer
	Manifests                 []manifestAnswer
}

// configAnswer is the part of a configuration that images and containers share.
type configAnswer struct {
	Hostname        string
	User            string
	Env             []string
	Cmd, Entrypoint words
	Image           string
	Labels          map[string]string
	ExposedPorts    map[string]struct{}
	Healthcheck     *healthcheckAPI
	StopSignal      string
	StopTimeout     *int
	Tty             bool
}

// manifestAnswer is one platform of an image in a containerd store (API 1.48).
type manifestAnswer struct {
	Kind      string // image, attestation, unknown
	Available bool
	ImageData *struct {
		Platform struct{ Architecture, Os, Variant string }
		Size     struct{ Unpacked int64 }
	}
}

func (a imageAnswer) info() ImageInfo {
	i := ImageInfo{
		ID: a.ID, RepoTags: realTags(a.RepoTags), DiffIDs: a.RootFS.Layers,
		OS: a.Os, Arch: a.Architecture, Variant: a.Variant,
		Created: a.Created.Time, Size: a.Size,
	}
	if c := a.Config; c != nil {
		i.Labels, i.Env, i.Entrypoint, i.Cmd, i.User = c.Labels, c.Env, c.Entrypoint, c.Cmd, c.User
		i.ExposedPorts = slices.Sorted(maps.Keys(c.ExposedPorts))
		i.HasHealthcheck = c.Healthcheck.active()
	}
	i.Available, i.Unpacked = a.complete()
	return i
}

// complete looks at the manifests of the platform that the rest of the answer is about. A half-formed image has no
// platform there: then every manifest counts.
func (a imageAnswer) complete() (available, unpacked bool) {
	if len(a.Manifests) == 0 {
		return true, true
	}
	for _, m := range a.Manifests {
		if m.Kind == "attestation" {
			continue
		}
		p := m.ImageData
		if p != nil && a.Architecture != "" && (p.Platform.Os != a.Os || p.Platform.Architecture != a.Architecture) {
			continue
		}
		available = available || m.Available
		unpacked = unpacked || p != nil && p.Size.Unpacked > 0
	}
	return available, unpacked
}

// realTags drops the place holder that old engines give an image without a name.
func realTags(tags []string) []string {
	return slices.DeleteFunc(tags, func(t string) bool { return t == "<none>:<none>" })
}

// timestamp is a time in an answer: RFC 3339, and some engines write "" or leave it out for "never".
type timestamp struct{ time.Time }

func (t *timestamp) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == "" {
		*t = timestamp{}
		return nil
	}
	var err error
	t.Time, err = time.Parse(time.RFC3339Nano, s)
	return err
}

// words is a command in an answer: a list, and in very old images a single string.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var list []string
	if err := json.Unmarshal(b, &list); err == nil {
		*w = list
		return nil
	}
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*w = words{one}
	return nil
}
