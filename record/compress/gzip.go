package compress

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipWriters has one pool per level, -1 to 9.
var gzipWriters [11]sync.Pool

func compressGzip(dst, src []byte, level int) ([]byte, error) {
	if level == 0 {
		level = gzip.DefaultCompression
	}
	pool := &gzipWriters[level+1]
	out := &appender{buf: dst}
	w, ok := pool.Get().(*gzip.Writer)
	if ok {
		w.Reset(out)
	} else {
		var err error
		if w, err = gzip.NewWriterLevel(out, level); err != nil {
			return dst, err
		}
	}
	if _, err := w.Write(src); err != nil {
		return dst, err
	}
	if err := w.Close(); err != nil {
		return dst, err
	}
	result := out.buf
	out.buf = nil // the pooled writer keeps out
	pool.Put(w)
	return result, nil
}

type gzipReader struct {
	in bytes.Reader
	gz gzip.Reader
}

var gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}

func decompressGzip(dst, src []byte, maxBytes int) ([]byte, error) {
	r := gzipReaders.Get().(*gzipReader)
	defer gzipReaders.Put(r)
	defer r.in.Reset(nil)
	r.in.Reset(src)
	if err := r.gz.Reset(&r.in); err != nil {
		return dst, noEOF(err)
	}
	return readAll(dst, &r.gz, len(src), maxBytes)
}

// appender is an io.Writer to the end of a slice.
type appender struct{ buf []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.buf = append(a.buf, p...)
	return len(p), nil
}

// firstReadBytes is the least room that readAll offers.
const firstReadBytes = 4 << 10

// readAll appends what r gives to dst, at most maxBytes. Memory grows by doubling, from a few
// times the input: never past what a reader has filled already.
func readAll(dst []byte, r io.Reader, inputBytes, maxBytes int) ([]byte, error) {
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = grow(dst, max(4*inputBytes, firstReadBytes, len(dst)-start), start, maxBytes)
		}
		room := dst[len(dst):min(cap(dst), start+maxBytes+1)]
		if len(room) == 0 {
			return dst[:start], errTooLarge
		}
		n, err := r.Read(room)
		dst = dst[:len(dst)+n]
		if len(dst)-start > maxBytes {
			return dst[:start], errTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst[:start], err
		}
	}
}

// grow makes room for more bytes, though for no more than maxBytes and one from start on.
func grow(dst []byte, more, start, maxBytes int) []byte {
	size := min(len(dst)+more, start+maxBytes+1)
	bigger := make([]byte, len(dst), max(size, len(dst)))
	copy(bigger, dst)
	return bigger
}

// noEOF keeps a clean end of nothing from looking like success further up.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
