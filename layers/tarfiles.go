package layers

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxTarNames bounds the memory that the names in one layer take, in bytes: some four million of them.
const maxTarNames = 512 << 20

// perName is what a name costs besides its bytes.
const perName = 96

// tarFiles is the content of a tar's files on disk, by path.
type tarFiles struct {
	file *os.File
	at   map[string]extent
}

// extent is where a file's bytes are.
type extent struct{ offset, size int64 }

// copyTarFiles copies the content of the files in a folder's tar to file, which the result then owns. A hard link is
// another name for what came before it. Empty files are left out, like all that has no bytes.
func copyTarFiles(r io.Reader, file *os.File, maxNames int) (*tarFiles, error) {
	f := &tarFiles{file: file, at: make(map[string]extent)}
	tr := tar.NewReader(bufio.NewReaderSize(r, 256<<10))
	w := bufio.NewWriterSize(struct{ io.Writer }{file}, 256<<10) // without File.ReadFrom, which takes a new buffer for every file
	var end int64
	for names := 0; ; {
		h, err := tr.Next()
		if err == io.EOF {
			return f, w.Flush()
		}
		if err != nil {
			return nil, err
		}
		name := below(h.Name)
		if names += len(name) + perName; names > maxNames {
			return nil, fmt.Errorf("names of files take more than %d bytes", maxNames)
		}
		e := extent{offset: end, size: h.Size}
		switch {
		case sparse(h):
			return nil, fmt.Errorf("entry %.200q: a sparse file, which no engine writes", h.Name)
		case h.Typeflag == tar.TypeLink:
			e = f.at[below(h.Linkname)]
		case h.Typeflag == tar.TypeReg:
			n, err := io.Copy(w, tr)
			if err != nil {
				return nil, err
			}
			end += n
		default:
			continue
		}
		if e.size == 0 {
			continue
		}
		if _, twice := f.at[name]; twice {
			return nil, fmt.Errorf("entry %.200q: is there twice", h.Name)
		}
		f.at[name] = e
	}
}

// sparse tells a file that unpacks to more bytes than were sent.
func sparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func (f *tarFiles) open(name string) (io.ReadCloser, error) {
	e, ok := f.at[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(f.file, e.offset, e.size)), nil
}

func (f *tarFiles) Close() error { return errors.Join(f.file.Close(), os.Remove(f.file.Name())) }
