package layers

import (
	"archive/tar"
	"bytes"
	"io"
)

// Splicer takes an archive on its way to where the layers are already: what it is told to splice in is not written.
type Splicer interface {
	io.Writer
	// Splice stands for the Blob.Size bytes of the layer's blob.
	Splice(l ArchiveLayer) error
}

// tarBlock is the unit of a tar file, in bytes.
const tarBlock = 512

func spliceLayer(w Splicer, l ArchiveLayer) error {
	var head bytes.Buffer
	if err := tar.NewWriter(&head).WriteHeader(entryHeader(blobPath(l.Blob.Digest), l.Blob.Size)); err != nil {
		return err
	}
	if _, err := w.Write(head.Bytes()); err != nil {
		return err
	}
	if err := w.Splice(l); err != nil {
		return err
	}
	_, err := w.Write(make([]byte, -l.Blob.Size&(tarBlock-1)))
	return err
}
