//go:build linux

package images

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"ship/internal/shiptest/lab"
)

// debianSuite is whose packages the sites are made of.
const debianSuite = "bookworm"

// SitePort is where the web server of a site listens.
const SitePort = 8080

// Site says what image of a real web site to make: nginx with its libraries, from Debian's packages, and a few pages.
type Site struct {
	Ref       string // its name and tag, "shop:v1"
	Version   string // what the pages and X-Version say
	Unhealthy bool   // /up answers 503
	Cache     string // where the layers of packages are kept; default: images in SHIPLAB_CACHE or /var/cache/ship-lab
	Log       io.Writer
}

// Debian makes the image of a site in the folder: a layer with the base system, one with the web server and its
// libraries, and a small one with configuration and pages: /, /up, /post for POST, and /slow.txt, which takes two
// seconds. The first call takes a minute and needs root and apt's mirror; later ones use the cache.
func Debian(ctx context.Context, dir string, s Site) (*Image, error) {
	packages, err := debianLayers(ctx, filepath.Join(CacheDir(s.Cache), "debian-"+debianSuite), s.Log)
	if err != nil {
		return nil, fmt.Errorf("debian image: %w", err)
	}
	app, err := writeTemp(dir, func(w io.Writer) error { return writeFiles(w, s.files()...) })
	if err != nil {
		return nil, err
	}
	return assemble(s.Ref, runtime.GOARCH, []step{
		{packages[0], "debootstrap --variant=minbase " + debianSuite + " /"},
		{packages[1], "apt-get install " + strings.Join(sitePackages(), " ")},
		{app, "COPY site /"},
	}, v1.Config{
		Entrypoint:   []string{"/usr/sbin/nginx", "-c", "/etc/nginx/site.conf"},
		Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		ExposedPorts: map[string]struct{}{fmt.Sprintf("%d/tcp", SitePort): {}},
		Labels:       map[string]string{"org.opencontainers.image.version": s.Version},
		StopSignal:   "SIGQUIT", // nginx then finishes the requests in flight
	})
}

func sitePackages() []string {
	return []string{"nginx", "libnginx-mod-http-image-filter", "ca-certificates"}
}

// debianLayers returns the layers of the base system and of the web server.
func debianLayers(ctx context.Context, dir string, log io.Writer) ([]*blob, error) {
	return cached(dir, []string{"base", "web"}, func() error {
		if log != nil {
			fmt.Fprintf(log, "making the layers of Debian %s with nginx in %s\n", debianSuite, dir)
		}
		if err := lab.Install(ctx, cmp.Or(log, io.Discard)); err != nil {
			return err
		}
		root := filepath.Join(dir, "root")
		defer os.RemoveAll(root)
		if err := lab.Debootstrap(ctx, debianSuite, root, sitePackages()); err != nil {
			return err
		}
		return splitPackages(root, dir)
	})
}

// splitPackages makes a layer of what every minimal system has and one of the packages on top.
func splitPackages(root, dir string) error {
	status, err := os.Open(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return err
	}
	defer status.Close()
	all, err := readStatus(status)
	if err != nil {
		return err
	}
	above, err := filesOf(root, closure(all, "apt"))
	if err != nil {
		return err
	}
	web := func(name string, _ fs.DirEntry) bool { return above[name] }
	base := func(name string, d fs.DirEntry) bool {
		return !strings.HasPrefix(name, "var/cache/apt/") && !strings.HasPrefix(name, "var/log/") && (d.IsDir() || !above[name])
	}
	for name, pick := range map[string]func(string, fs.DirEntry) bool{"base": base, "web": web} {
		_, err := writeBlob(blobPath(dir, name), gzip.DefaultCompression, func(w io.Writer) error { return writeTrees(w, tree{root: root, pick: pick}) })
		if err != nil {
			return err
		}
	}
	return nil
}

// files are the site's own layer.
func (s Site) files() []file {
	health := `return 200 "ok\n"`
	if s.Unhealthy {
		health = `return 503 "not ready\n"`
	}
	conf := fmt.Sprintf(siteConf, SitePort, s.Version, health)
	return []file{
		{"etc/", ""},
		{"etc/nginx/", ""},
		{"etc/nginx/site.conf", conf},
		{"srv/", ""},
		{"srv/site/", ""},
		{"srv/site/index.html", "<!doctype html>\n<title>shop</title>\n<h1>shop " + s.Version + "</h1>\n"},
		{"srv/site/style.css", "h1 { font-family: serif }\n"},
		{"srv/site/slow.txt", strings.Repeat("nobody is in a hurry here\n", 40<<10/26)}, // two seconds' worth
		{"var/", ""},
		{"var/log/", ""},
		{"var/log/nginx/", ""}, // nginx opens its compiled-in error log before it reads where to log
	}
}

const siteConf = `daemon off;
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr;
events { worker_connections 1024; }
http {
	include /etc/nginx/mime.types;
	access_log /dev/stdout;
	server {
		listen %d;
		add_header X-Version %s always;
		root /srv/site;
		location = /up { default_type text/plain; %s; }
		location = /post { default_type text/plain; return 200 "thanks\n"; }
		location = /slow.txt { limit_rate 20k; }
	}
}
`
