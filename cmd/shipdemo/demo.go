//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ship/internal/shiptest/images"
	"ship/internal/shiptest/lab"
	"ship/internal/shiptest/load"
)

const (
	siteName = "shop.example"
	bodySize = 16 << 10 // of a POST under load
)

// configuration is what a user would write. The three hosts are reached as root, as a member of the docker group and
// as a user with sudo.
const configuration = `service: shop
image: oci:images:shop:${VERSION}
servers: [h1, deploy@h2, sudoer@h3]
proxy: { host: shop.example, app_port: 8080, healthcheck: { path: /up }, deploy_timeout: 15, drain_timeout: 10 }
`

// demo is a run of the show.
type demo struct {
	ship, dir string
	out       io.Writer
	lab       *lab.Lab
	users     netip.Addr // where the load comes from
	rows      []row
}

func (d *demo) heading(text string) { fmt.Fprintf(d.out, "\n==> %s\n\n", text) }

// build makes the three images and the configuration.
func (d *demo) build(ctx context.Context) error {
	d.heading("A web site in an image of real Debian packages, in three versions; v3 never becomes healthy")
	work := filepath.Join(d.dir, "layers")
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	for _, version := range []string{"v1", "v2", "v3"} {
		s := images.Site{Ref: "shop:" + version, Version: version, Unhealthy: version == "v3", Log: d.out}
		img, err := images.Debian(ctx, work, s)
		if err != nil {
			return err
		}
		if err := img.OCILayout(filepath.Join(d.dir, "images")); err != nil {
			return err
		}
		fmt.Fprintf(d.out, "oci:images:shop:%s  %d layers, %s unpacked, %s as gzip\n", version, len(img.DiffIDs), size(img.Unpacked), size(img.Bytes))
	}
	return os.WriteFile(filepath.Join(d.dir, "ship.yaml"), []byte(configuration), 0o600)
}

// show runs the releases and prints the table.
func (d *demo) show(ctx context.Context) error {
	fmt.Fprintf(d.out, "\n$ cat ship.yaml\n%s", configuration)
	if err := d.addUsers(ctx); err != nil {
		return err
	}
	for _, s := range []step{
		{title: "deploy v1, the first release", version: "v1", args: []string{"deploy"}, serves: "v1"},
		{title: "deploy v2 under load", version: "v2", args: []string{"deploy"}, serves: "v2", before: "v1", small: true},
		{title: "deploy v3, never healthy", version: "v3", args: []string{"deploy"}, want: 1, serves: "v2", before: "v2", small: true},
		{title: "rollback under load", version: "v2", args: []string{"rollback", "-y"}, serves: "v1", before: "v2", small: true},
	} {
		d.heading(s.title)
		r, err := d.perform(ctx, s)
		if err != nil {
			return err
		}
		d.rows = append(d.rows, r)
	}
	d.heading("What runs where")
	if _, err := d.run(ctx, step{version: "v1", args: []string{"status"}}); err != nil {
		return err
	}
	d.heading("What was seen")
	fmt.Fprint(d.out, table(d.rows))
	for _, r := range d.rows {
		if len(r.broken) > 0 {
			return errBroken
		}
	}
	return nil
}

// perform runs a step while users ask for the site, and judges it.
func (d *demo) perform(ctx context.Context, s step) (row, error) {
	var users *load.Generator
	if s.before != "" {
		versions := []string{s.before}
		if s.serves != s.before {
			versions = append(versions, s.serves)
		}
		var err error
		users, err = load.Start(ctx, load.Options{
			URLs: d.urls(), Host: siteName, From: d.users, PostPath: "/post", SlowPath: "/slow.txt", Body: bodySize,
			Workers: 2, Pause: 20 * time.Millisecond, Versions: versions,
		})
		if err != nil {
			return row{}, err
		}
		defer users.Stop()
		pause(ctx, time.Second)
	}
	before, err := d.lab.Sent(ctx, lab.Controller, "")
	if err != nil {
		return row{}, err
	}
	r := row{step: s}
	if r.outcome, err = d.run(ctx, s); err != nil {
		return row{}, err
	}
	after, err := d.lab.Sent(ctx, lab.Controller, "")
	if err != nil {
		return row{}, err
	}
	r.uplink = after - before
	if users != nil {
		pause(ctx, time.Second)
		r.load = users.Stop()
		fmt.Fprintf(d.out, "\nload: %s\n", r.load)
	}
	r.now = d.answers(ctx)
	fmt.Fprintf(d.out, "over the controller's uplink: %s\n", size(r.uplink))
	return r.judge(), context.Cause(ctx)
}

// outcome is how a run of ship ended.
type outcome struct {
	exit int
	took time.Duration
}

// run runs ship as a user would: the command and all that it prints are shown.
func (d *demo) run(ctx context.Context, s step) (outcome, error) {
	args := append(s.args[:len(s.args):len(s.args)], "--ssh-config", d.lab.SSHConfig())
	fmt.Fprintf(d.out, "$ VERSION=%s ship %s\n", s.version, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, d.ship, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.dir, os.Stdout, os.Stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TERM=" + os.Getenv("TERM"), "HOME=" + d.dir, "SHIP_CACHE=" + filepath.Join(d.dir, "cache"), "VERSION=" + s.version}
	cmd.SysProcAttr = ownGroup()                                          // Ctrl-C reaches it once, from here
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it cleans up
	cmd.WaitDelay = time.Minute
	begin := time.Now()
	err := cmd.Run()
	if ctx.Err() != nil {
		return outcome{}, context.Cause(ctx)
	}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	return outcome{cmd.ProcessState.ExitCode(), time.Since(begin)}, nil
}

// addUsers gives this machine a second address in the lab. What is sent from there is not counted as the controller's.
func (d *demo) addUsers(ctx context.Context) error {
	controller := d.lab.Subnet.Masked().Addr().Next()
	d.users = controller.Next()
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, link := range links {
		addrs, err := link.Addrs()
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if strings.HasPrefix(a.String(), controller.String()+"/") {
				out, err := exec.CommandContext(ctx, "ip", "addr", "add", d.users.String()+"/24", "dev", link.Name).CombinedOutput()
				if err != nil {
					return fmt.Errorf("add an address for the load: %w: %s", err, out)
				}
				return nil
			}
		}
	}
	return fmt.Errorf("no link has the controller's address %s", controller)
}

func (d *demo) urls() []string {
	var urls []string
	for _, h := range d.lab.Hosts {
		urls = append(urls, "http://"+h.Addr.String())
	}
	return urls
}

// answers asks every host for the site and returns the versions that they serve.
func (d *demo) answers(ctx context.Context) []string {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var versions []string
	for _, u := range d.urls() {
		versions = append(versions, ask(ctx, client, u))
	}
	return versions
}

func ask(ctx context.Context, client *http.Client, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	req.Host = siteName
	resp, err := client.Do(req)
	if err != nil {
		return "no answer"
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return resp.Header.Get("X-Version")
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
