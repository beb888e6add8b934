package docker

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// ListImagesNamed lists the images with a name that matches pattern (path.Match, with or without the tag), with those
// names only. It is quick also where ListImages is not: the engine measures only what it lists.
func (c *Client) ListImagesNamed(ctx context.Context, pattern string) ([]ImageSummary, error) {
	filter, err := json.Marshal(map[string][]string{"reference": {pattern}})
	if err != nil {
		return nil, err
	}
	var a []struct {
		ID            string `json:"Id"`
		RepoTags      []string
		Labels        map[string]string
		Created, Size int64
	}
	if err := c.do(ctx, get("list images", "/images/json", url.Values{"filters": {string(filter)}}), &a); err != nil {
		return nil, err
	}
	out := make([]ImageSummary, len(a))
	for i, m := range a {
		out[i] = ImageSummary{ID: m.ID, RepoTags: realTags(m.RepoTags), Labels: m.Labels, Created: time.Unix(m.Created, 0), Size: m.Size}
	}
	return out, nil
}
