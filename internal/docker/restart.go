package docker

import (
	"context"
	"fmt"
)

// SetRestart changes the restart policy of a container, whether it runs or not.
func (c *Client) SetRestart(ctx context.Context, id, policy string) error {
	const op = "set restart policy"
	r, err := parseRestart(policy)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	body := struct{ RestartPolicy restartAPI }{r}
	return c.do(ctx, post(op, "/containers/"+id+"/update", nil, body), nil)
}
