# Two of these do all the set-up on a fresh Debian machine with Go: make demo, make test.

GO          ?= go
PREFIX      ?= /usr/local
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
ERRCHECK    ?= github.com/kisielk/errcheck@v1.10.0

VERSION := $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null || echo dev)
BUILD    = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w -X main.buildVersion=$(VERSION)'

# What hosts are given does not change with the version: a host that has it needs no other.
CARRIED  = cmd/ship/carried/bin
FOR_HOST = CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -buildvcs=false -ldflags='-s -w -buildid='

.PHONY: build carried test check unit setup demo bench bench-proxy soak install clean

build: carried ## bin/ship, static
	$(BUILD) -tags carried -o bin/ship ./cmd/ship

carried: ## what bin/ship puts on hosts, for each architecture
	@mkdir -p $(CARRIED)
	@set -e; for arch in amd64 arm64; do for program in helper proxy; do \
		to=$(CARRIED)/$$program-$$arch; \
		GOARCH=$$arch $(FOR_HOST) -o $$to ./cmd/ship-$$program; \
		gzip -9nc $$to >$$to.gz; \
		echo "$$(sha256sum <$$to | cut -c1-64) $$(wc -c <$$to)" >$$to.sum; \
		rm $$to; \
	done; done

test: setup check unit ## everything; needs root

check: ## what reads the code without running it
	@unformatted="$$(gofmt -l .)"; if [ -n "$$unformatted" ]; then echo "not formatted by gofmt:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) run $(ERRCHECK) -ignoretests -exclude hack/errcheck.txt ./...

unit: ## all tests, those on real hosts and the seeds of the fuzz tests included
	hack/test

setup: ## installs by apt what tests and demo need and the machine lacks
	hack/setup

demo: setup build ## three hosts, four releases, one table
	$(BUILD) -o bin/shipdemo ./cmd/shipdemo
	bin/shipdemo $(DEMOFLAGS)

bench: setup build ## against docker load and docker pull; BENCHFLAGS=--quick for a small image
	$(BUILD) -o bin/shipbench ./cmd/shipbench
	bin/shipbench $(BENCHFLAGS)

bench-proxy: ## the proxy against kamal-proxy, HAProxy and nginx; BENCHFLAGS="-rounds 1" for a short look
	@for tool in wrk h2load haproxy nginx; do PATH=$$PATH:/usr/sbin command -v $$tool >/dev/null || { \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends wrk nghttp2-client haproxy nginx-light; break; }; done
	$(FOR_HOST) -o bin/ship-proxy ./cmd/ship-proxy
	$(BUILD) -o bin/proxybench ./cmd/proxybench
	bin/proxybench -proxy bin/ship-proxy $(BENCHFLAGS)

soak: ## cutovers, upgrades and kills of the proxy under load: what is lost?
	$(FOR_HOST) -o bin/ship-proxy ./cmd/ship-proxy
	$(BUILD) -o bin/proxysoak ./cmd/proxysoak
	bin/proxysoak -proxy bin/ship-proxy $(SOAKFLAGS)

install: build
	install -D -m 0755 bin/ship $(DESTDIR)$(PREFIX)/bin/ship

clean:
	rm -rf bin $(CARRIED)
