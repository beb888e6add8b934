//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"ship/proxy"
)

// host is the name that the requests are for.
const host = "bench.test"

// contender is one proxy, with a log of its requests.
type contender struct {
	name      string
	port, tls int
	start     func(ctx context.Context, r *rig, c *contender) (*exec.Cmd, error)
	deploy    func(ctx context.Context, r *rig, c *contender, secure bool) error // nil: it is in the configuration

	running *exec.Cmd
}

func contenders(o options) ([]*contender, error) {
	all := []*contender{{name: "ship", port: 18081, tls: 18444, start: startShip, deploy: deployShip}}
	if o.kamal != "none" {
		all = append(all, &contender{name: "kamal-proxy", port: 18082, tls: 18445, start: startKamal, deploy: deployKamal})
	}
	for _, c := range []*contender{{name: "haproxy", port: 18083, tls: 18446, start: startHAProxy}, {name: "nginx", port: 18084, tls: 18447, start: startNginx}} {
		if _, err := lookPath(c.name); err == nil {
			all = append(all, c)
		}
	}
	for _, tool := range []string{"wrk", "h2load", "taskset"} {
		if _, err := lookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: apt-get install wrk nghttp2-client util-linux haproxy nginx-light", err)
		}
	}
	return all, nil
}

// lookPath finds programs of the administrator too.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) {
		if p, serr := exec.LookPath("/usr/sbin/" + name); serr == nil {
			return p, nil
		}
	}
	return path, err
}

func startShip(ctx context.Context, r *rig, c *contender) (*exec.Cmd, error) {
	return r.run(ctx, c.name, nil, r.options.proxy, "proxy", "run", "--http-port", fmt.Sprint(c.port), "--https-port", fmt.Sprint(c.tls),
		"--socket", r.path("ship.sock"), "--state", r.path("ship"))
}

func deployShip(ctx context.Context, r *rig, _ *contender, secure bool) error {
	px := proxy.NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", r.path("ship.sock"))
	})
	defer px.Close()
	s := proxy.Service{Name: "bench", Hosts: []string{host}}
	generation := time.Now().UnixNano()
	if secure {
		s.TLS = &proxy.TLS{KeepHTTP: true}
		cert, err := os.ReadFile(r.path("cert.pem"))
		if err != nil {
			return err
		}
		key, err := os.ReadFile(r.path("key.pem"))
		if err != nil {
			return err
		}
		if _, err := px.Certify(ctx, s.Name, proxy.KeyPair{Certificate: string(cert), PrivateKey: string(key)}, generation); err != nil {
			return err
		}
	}
	token, err := px.Prepare(ctx, proxy.PrepareRequest{Service: s, Target: proxy.Target{ID: "app", Address: r.app}, Generation: generation, Timeout: 10 * time.Second}, nil)
	if err != nil {
		return err
	}
	_, err = px.Commit(ctx, s.Name, token, generation)
	return err
}

func (r *rig) kamalEnv() []string {
	return []string{"XDG_RUNTIME_DIR=" + r.path("kamal"), "XDG_STATE_HOME=" + r.path("kamal"), "HOME=" + r.path("kamal")}
}

func startKamal(ctx context.Context, r *rig, c *contender) (*exec.Cmd, error) {
	if err := os.MkdirAll(r.path("kamal"), 0o700); err != nil {
		return nil, err
	}
	return r.run(ctx, c.name, r.kamalEnv(), r.options.kamal, "run", "--http-port", fmt.Sprint(c.port), "--https-port", fmt.Sprint(c.tls))
}

func deployKamal(ctx context.Context, r *rig, _ *contender, secure bool) error {
	args := []string{"deploy", "bench", "--target", r.app, "--host", host}
	if secure {
		args = append(args, "--tls", "--tls-redirect=false", "--tls-certificate-path", r.path("cert.pem"), "--tls-private-key-path", r.path("key.pem"))
	}
	cmd := exec.CommandContext(ctx, r.options.kamal, args...)
	cmd.Env = append(os.Environ(), r.kamalEnv()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kamal-proxy deploy: %w: %s", err, out)
	}
	return nil
}

func startHAProxy(ctx context.Context, r *rig, c *contender) (*exec.Cmd, error) {
	conf := fmt.Sprintf(`global
	nbthread 1
	maxconn 5000
	log stdout format raw local0
defaults
	mode http
	log global
	option httplog
	option forwardfor
	timeout connect 2s
	timeout client 75s
	timeout server 60s
	http-reuse always
frontend bench
	bind 127.0.0.1:%d
	bind 127.0.0.1:%d ssl crt %s alpn h2,http/1.1
	default_backend app
backend app
	server app %s
`, c.port, c.tls, r.path("both.pem"), r.app)
	return r.runWith(ctx, c.name, conf, "-db", "-f")
}

func startNginx(ctx context.Context, r *rig, c *contender) (*exec.Cmd, error) {
	conf := fmt.Sprintf(`daemon off; worker_processes 1; error_log stderr crit; pid %s;
events { worker_connections 8000; }
http {
	access_log %s combined buffer=32k;
	keepalive_requests 100000000;
	upstream app { server %s; keepalive 512; keepalive_requests 100000000; }
	server {
		listen 127.0.0.1:%d; listen 127.0.0.1:%d ssl http2;
		ssl_certificate %s; ssl_certificate_key %s;
		location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }
	}
}
`, r.path("nginx.pid"), r.path("nginx.access.log"), r.app, c.port, c.tls, r.path("cert.pem"), r.path("key.pem"))
	return r.runWith(ctx, c.name, conf, "-p", r.dir, "-c")
}

// runWith runs a program of the system with a configuration, whose path comes last.
func (r *rig) runWith(ctx context.Context, name, conf string, args ...string) (*exec.Cmd, error) {
	file := filepath.Join(r.dir, name+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, err
	}
	path, err := lookPath(name)
	if err != nil {
		return nil, err
	}
	return r.run(ctx, name, nil, path, append(args, file)...)
}

// answers waits until the proxy answers for the app.
func (c *contender) answers(ctx context.Context, redeploy func() error) error {
	var last error
	for range 200 {
		if last = redeploy(); last == nil {
			if last = c.ask(ctx); last == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer: %w", c.name, last)
}

func (c *contender) ask(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/16", c.port), nil)
	if err != nil {
		return err
	}
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
