package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ship/config"
	"ship/proxy"
)

// errorPages reads the pages of all roles that have some, by role and status. Its error is config.Errors.
func errorPages(t *target) (map[string]map[int][]byte, error) {
	all := map[string]map[int][]byte{}
	var wrong config.Errors
	for _, r := range t.conf.Roles {
		if r.Proxy == nil || r.Proxy.ErrorPages == "" {
			continue
		}
		pages, err := readErrorPages(r.Proxy.ErrorPages)
		if err == nil {
			all[r.Name] = pages
			continue
		}
		e := t.conf.ProxyMistake(r.Name, "error_pages", "a folder with pages like 503.html, on this machine", err.Error())
		if !slices.Contains(wrong, e) { // the root's is that of several roles
			wrong = append(wrong, e)
		}
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return all, nil
}

// readErrorPages reads the files of a folder that are named after a status. Others are somebody else's affair.
func readErrorPages(folder string) (map[int][]byte, error) {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%.200q is no folder that can be read", folder)
	}
	pages, size := map[int][]byte{}, 0
	var names []string
	for _, status := range proxy.ErrorStatuses() {
		name := strconv.Itoa(status) + ".html"
		names = append(names, name)
		page, err := readUpTo(filepath.Join(folder, name), proxy.MaxErrorPages)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = proxy.CheckErrorPage(page)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		pages[status] = page
		size += len(page)
	}
	switch {
	case len(pages) == 0:
		return nil, fmt.Errorf("there is no page in %.200q: none of %s", folder, strings.Join(names, ", "))
	case size > proxy.MaxErrorPages:
		return nil, fmt.Errorf("the pages in %.200q have %d bytes, at most %d are allowed", folder, size, proxy.MaxErrorPages)
	}
	return pages, nil
}
