//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// serveApp is what the proxies stand before: it answers "GET /N" with N bytes, at the least cost, until ctx ends. It prints its
// address first.
func serveApp(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return ctx.Err()
		}
		go answer(c)
	}
}

// answer serves one connection. Requests have no bodies.
func answer(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	answers := map[string][]byte{}
	for {
		first, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		_, rest, _ := strings.Cut(string(first), " /")
		path, _, _ := strings.Cut(rest, " ")
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(bytes.TrimSpace(line)) == 0 {
				break
			}
		}
		if answers[path] == nil {
			n, err := strconv.Atoi(path)
			if err != nil { // the health check
				n = 2
			}
			body := bytes.Repeat([]byte{'x'}, n)
			answers[path] = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", n, body)
		}
		if _, err := c.Write(answers[path]); err != nil {
			return
		}
	}
}
