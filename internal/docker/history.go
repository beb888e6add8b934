package docker

import (
	"context"
	"slices"
)

// StepSizes returns, for every step of the image's history, the oldest first, the bytes in the files that it added.
// Steps that made no layer have none.
func (c *Client) StepSizes(ctx context.Context, ref string) ([]int64, error) {
	var a []struct{ Size int64 }
	if err := c.do(ctx, get("read image history", "/images/"+ref+"/history", nil), &a); err != nil {
		return nil, err
	}
	out := make([]int64, len(a))
	for i, s := range a {
		out[i] = max(s.Size, 0)
	}
	slices.Reverse(out)
	return out, nil
}
