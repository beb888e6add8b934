//go:build linux

package docker

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a killed run left goes after an hour; a younger one may be in use, and one that runs is not ours.
func TestFolderSweep(t *testing.T) {
	var mu sync.Mutex
	var removed []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodDelete:
			mu.Lock()
			defer mu.Unlock()
			removed = append(removed, strings.TrimPrefix(r.URL.Path, "/containers/")+"?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Path == "/containers/json":
			if f := r.URL.Query().Get("filters"); !strings.Contains(f, folderLabel) {
				t.Errorf("filters %q", f)
			}
			now := time.Now()
			fmt.Fprintf(w, `[{"Id":"old","State":"created","Created":%d},{"Id":"young","State":"created","Created":%d},{"Id":"other","State":"running","Created":1}]`,
				now.Add(-2*time.Hour).Unix(), now.Add(-time.Minute).Unix())
		default:
			fmt.Fprint(w, `{"Id":"new"}`)
		}
	})
	f, err := c.OpenFolder(t.Context(), "image", "/")
	must(t, err)
	must(t, f.Close())
	if want := []string{"old?force=1&v=1", "new?force=1&v=1"}; !slices.Equal(removed, want) {
		t.Errorf("removed %q, want %q", removed, want)
	}
}
