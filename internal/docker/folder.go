package docker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"time"
)

const (
	folderLabel  = "ship.read"     // of the containers that folders are read through
	folderTarget = "/.ship-folder" // where in such a container the folder is
	folderOld    = time.Hour       // after which such a container is left over from a run that was killed
	folderTime   = 10 * time.Second
)

// Folder is a folder on the engine's machine, read with the engine's rights and as the engine sees it. It is mounted
// read-only into a container that never starts: engines copy files out of those too.
type Folder struct {
	client *Client
	id     string
	remove func() error
}

// OpenFolder makes the container, from an image that the engine holds. Those that killed runs left are removed. The
// caller closes the folder, before the client.
func (c *Client) OpenFolder(ctx context.Context, image, dir string) (*Folder, error) {
	const op = "open folder"
	if err := c.sweepFolders(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	body := folderAPI{Image: image, Entrypoint: []string{"/never-started"}, Labels: map[string]string{folderLabel: "1"}}
	body.HostConfig.NetworkMode = "none"
	m := folderMountAPI{mountAPI: mountAPI{Type: "bind", Source: dir, Target: folderTarget, ReadOnly: true}}
	m.BindOptions.NonRecursive = true // what else is mounted below an engine's folder, of other containers, stays out
	body.HostConfig.Mounts = []folderMountAPI{m}
	name := "ship-read-" + rand.Text()

	// An engine goes on creating when nobody waits any more, and the ID is lost: so we wait.
	create, cancel := context.WithTimeout(context.WithoutCancel(ctx), folderTime)
	defer cancel()
	var answer struct{ ID string }
	err := c.do(create, post(op, "/containers/create", url.Values{"name": {name}}, body), &answer)
	if err != nil {
		return nil, err
	}
	f := &Folder{client: c, id: answer.ID}
	// Removing it outlives ctx: a run that is cancelled leaves nothing behind.
	f.remove = func() error { return c.discard(context.WithoutCancel(ctx), f.id) }
	if err := context.Cause(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", op, err), f.remove())
	}
	return f, nil
}

// Open streams a file or a folder as a tar whose entries' names begin with the last element of its path. ErrNotFound
// means that it is not there. The caller closes the stream; until then others wait for their first byte.
func (f *Folder) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	q := url.Values{"path": {path.Join(folderTarget, name)}}
	resp, err := f.client.open(ctx, get("read folder", "/containers/"+f.id+"/archive", q))
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Close removes the container.
func (f *Folder) Close() error { return f.remove() }

// discard removes a container that never ran, with the volumes that its image asked for.
func (c *Client) discard(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, folderTime)
	defer cancel()
	q := url.Values{"force": {"1"}, "v": {"1"}}
	err := c.do(ctx, request{op: "close folder", method: http.MethodDelete, path: "/containers/" + id, query: q}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil // somebody pruned
	}
	return err
}

func (c *Client) sweepFolders(ctx context.Context) error {
	list, err := c.ListContainers(ctx, map[string]string{folderLabel: "1"})
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.State == "created" && time.Since(l.Created) > folderOld {
			_ = c.discard(ctx, l.ID) // if it stays, the next run tries again
		}
	}
	return nil
}

// folderAPI is the body of the create request.
type folderAPI struct {
	Image      string
	Entrypoint []string
	Labels     map[string]string
	HostConfig struct {
		NetworkMode string
		Mounts      []folderMountAPI
	}
}

type folderMountAPI struct {
	mountAPI
	BindOptions struct{ NonRecursive bool }
}
