package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	pageSuffix = ".page" // of a page's file in the state folder, after its hash

	// maxSparePages bounds the pages that no service names any more, in bytes: those of earlier releases, for rollbacks.
	maxSparePages = 8 * MaxErrorPages
	maxPageHashes = 100 // in one call
)

// lacking is the answer to a call about error pages.
type lacking struct {
	Lacks []string `json:"lacks,omitempty"`
}

// LacksErrorPages returns which of these pages the proxy has not got; [PageHash] names them. Those that it has stay for the
// deploy that asks. An *OldProxyError is a proxy that knows of none.
func (c *Client) LacksErrorPages(ctx context.Context, hashes []string) ([]string, error) {
	var l lacking
	err := c.do(ctx, http.MethodPost, errorPagesVerb, call{Pages: hashes}, &l)
	return slices.DeleteFunc(l.Lacks, func(h string) bool { return !slices.Contains(hashes, h) }), err
}

// GiveErrorPage gives the proxy a page, for services that will name it.
func (c *Client) GiveErrorPage(ctx context.Context, page []byte) error {
	return c.do(ctx, http.MethodPost, errorPagesVerb, call{Page: page}, nil)
}

const errorPagesVerb = "error_pages"

func (c control) errorPages(ctx context.Context, a call) (any, error) {
	l, err := c.m.errorPages(ctx, a.Pages, a.Page)
	if errors.Is(err, errHandedOver) {
		return &l, c.m.successor.Load().do(ctx, http.MethodPost, errorPagesVerb, a, &l)
	}
	return l, err
}

// errorPages keeps the page, if one is given, and says which of the others are not here.
func (m *manager) errorPages(ctx context.Context, hashes []string, page []byte) (l lacking, err error) {
	if len(hashes) > maxPageHashes || slices.ContainsFunc(hashes, func(h string) bool { return !isPageHash(h) }) {
		return l, &refusedError{fmt.Errorf("error pages: want at most %d SHA-256 in hex", maxPageHashes)}
	}
	if page != nil {
		if err := CheckErrorPage(page); err != nil {
			return l, &refusedError{fmt.Errorf("error page: %w", err)}
		}
	}
	if err := m.change(ctx); err != nil {
		return l, err
	}
	defer m.mu.Unlock()
	if page != nil {
		if err := m.store.savePage(page); err != nil {
			return l, err
		}
		m.sweepPages(PageHash(page))
	}
	for _, hash := range hashes {
		if _, err := m.store.readPage(hash); err != nil {
			l.Lacks = append(l.Lacks, hash)
			continue
		}
		now := time.Now()
		_ = os.Chtimes(m.store.pagePath(hash), now, now) // only for the order in which spare pages go
	}
	return l, nil
}

func (s store) pagePath(hash string) string { return filepath.Join(s.dir, hash+pageSuffix) }

func (s store) savePage(page []byte) error {
	if err := replace(s.pagePath(PageHash(page)), page); err != nil {
		return fmt.Errorf("save error page: %w", err)
	}
	return s.syncDir()
}

func (s store) readPage(hash string) ([]byte, error) {
	f, err := os.Open(s.pagePath(hash))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	page, err := io.ReadAll(io.LimitReader(f, MaxErrorPages+1))
	if err == nil && PageHash(page) != hash {
		err = errors.New("it is damaged")
	}
	return page, err
}

// readPages reads a service's pages, by status. Where one cannot be read, the proxy's own words stand.
func (m *manager) readPages(s Service) map[int]errorPage {
	var pages map[int]errorPage
	size := 0
	for _, status := range ErrorStatuses() {
		hash := s.ErrorPages[strconv.Itoa(status)]
		if hash == "" {
			continue
		}
		var parsed errorPage
		page, err := m.store.readPage(hash)
		if size += len(page); err == nil && size > MaxErrorPages {
			err = fmt.Errorf("all pages together have more than %d bytes", MaxErrorPages)
		}
		if err == nil {
			parsed, err = parseErrorPage(page)
		}
		if err != nil {
			m.log.Warn("an error page is not served", "service", s.Name, "status", status, "error", err)
			continue
		}
		if pages == nil {
			pages = map[int]errorPage{}
		}
		pages[status] = parsed
	}
	return pages
}

// sweepPages drops spare pages, those first that were asked for longest ago. What it cannot remove, the next one will.
func (m *manager) sweepPages(latest string) {
	named := map[string]bool{latest: true}
	for _, s := range m.services {
		for _, p := range []*placed{s.record.Active, s.record.Previous} {
			if p != nil {
				nameAll(named, p.Service.ErrorPages)
			}
		}
		for _, p := range s.prepared {
			nameAll(named, p.Service.ErrorPages)
		}
	}
	entries, err := os.ReadDir(m.store.dir)
	if err != nil {
		return
	}
	var spare []fs.FileInfo
	for _, e := range entries {
		hash, ok := strings.CutSuffix(e.Name(), pageSuffix)
		if !ok || named[hash] {
			continue
		}
		if info, err := e.Info(); err == nil {
			spare = append(spare, info)
		}
	}
	slices.SortFunc(spare, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	var kept int64
	for _, info := range spare {
		if kept += info.Size(); kept > maxSparePages {
			_ = os.Remove(filepath.Join(m.store.dir, info.Name()))
		}
	}
}

func nameAll(named map[string]bool, pages map[string]string) {
	for _, hash := range pages {
		named[hash] = true
	}
}
