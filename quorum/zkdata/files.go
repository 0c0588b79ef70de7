package zkdata

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/golang/snappy"

	"github.com/millrace/millrace/internal/vfs"
)

// file is a snapshot or log with the zxid in its name: a snapshot's last transaction before
// it was begun, a log's first.
type file struct {
	name string
	zxid int64
}

// versionDir is the folder in a data directory that holds the files.
const versionDir = "version-2"

// list returns the files in dir that are named prefix.ZXID[.EXT], by zxid.
func list(fsys vfs.FS, dir, prefix string) ([]file, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, e := range entries {
		parts := strings.Split(e.Name(), ".")
		if e.IsDir() || len(parts) < 2 || parts[0] != prefix {
			continue
		}
		if zxid, err := strconv.ParseInt(parts[1], 16, 64); err == nil {
			files = append(files, file{path.Join(dir, e.Name()), zxid})
		}
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.zxid, b.zxid), cmp.Compare(a.name, b.name))
	})
	return files, nil
}

// folder is where a directory's files are: in version-2, which the user may also have named.
func folder(fsys vfs.FS, dir string) (string, error) {
	inside := path.Join(dir, versionDir)
	if info, err := fsys.Stat(inside); err == nil && info.IsDir() {
		return inside, nil
	}
	if path.Base(path.Clean(dir)) == versionDir {
		return dir, nil
	}
	return "", fmt.Errorf("%s has no folder %s: it is no data directory of ZooKeeper (dataDir or dataLogDir of its zoo.cfg)", dir, versionDir)
}

// open opens a file for reading from its start.
func open(fsys vfs.FS, name string) (io.Reader, io.Closer, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return bufio.NewReaderSize(io.NewSectionReader(f, 0, size), part), f, nil
}

// uncompressed reads what a snapshot's extension says that it is.
func uncompressed(name string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(path.Ext(name)) {
	case ".gz":
		z, err := gzip.NewReader(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errShort
		}
		return z, damaged(err)
	case ".snappy":
		return newSnappyReader(r)
	}
	return r, nil
}

// snappyReader reads the framing of snappy-java: a head of 16 bytes, then blocks with their
// lengths in front.
type snappyReader struct {
	r     io.Reader
	block []byte // compressed
	plain []byte
	rest  []byte // of plain
}

const (
	snappyMagic = "\x82SNAPPY\x00"
	// maxBlock is the largest block taken; snappy-java writes 32 KiB.
	maxBlock = 16 << 20
)

func newSnappyReader(r io.Reader) (*snappyReader, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:8]) != snappyMagic {
		return nil, fmt.Errorf("%w: no stream of snappy-java", ErrCorrupt)
	}
	return &snappyReader{r: r}, nil
}

// Read implements io.Reader.
func (s *snappyReader) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *snappyReader) next() error {
	var head [4]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return err // EOF between blocks is the end
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxBlock {
		return fmt.Errorf("%w: a snappy block of %d bytes", ErrCorrupt, size)
	}
	s.block = s.block[:0]
	for uint32(len(s.block)) < size {
		at := len(s.block)
		s.block = slices.Grow(s.block, min(int(size)-at, part))[:min(int(size), at+part)]
		if _, err := io.ReadFull(s.r, s.block[at:]); err != nil {
			return io.ErrUnexpectedEOF
		}
	}
	n, err := snappy.DecodedLen(s.block)
	if err != nil || n > maxBlock || n > 32*len(s.block) {
		return fmt.Errorf("%w: a snappy block that claims %d bytes", ErrCorrupt, n)
	}
	if s.plain, err = snappy.Decode(s.plain[:cap(s.plain)], s.block); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	s.rest = s.plain
	return nil
}
