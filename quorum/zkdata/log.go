package zkdata

import (
	"errors"
	"fmt"
	"hash/adler32"

	"github.com/millrace/millrace/internal/vfs"
)

const (
	logMagic   = 'Z'<<24 | 'K'<<16 | 'L'<<8 | 'G'
	recordEnd  = 'B'
	logHead    = 16
	recordHead = 8 + 4
)

// DamageError is a record of a log that is there and wrong.
type DamageError struct {
	File   string
	Offset int64
	Reason string
}

// Error implements error.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s, record at byte %d: %s", e.File, e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (e *DamageError) Unwrap() error { return ErrCorrupt }

// readLog yields the records of a log file (FileTxnLog) until it ends: at the zeros that it
// was filled with beforehand, or in the middle of a record, which torn tells. b may be kept.
func readLog(fsys vfs.FS, name string, yield func(offset int64, b []byte) error) (torn bool, err error) {
	raw, closer, err := open(fsys, name)
	if err != nil {
		return false, err
	}
	defer closer.Close() // only read
	s := &stream{r: raw} // each record has a sum of its own
	magic, version, _ := s.int32(), s.int32(), s.int64()
	if s.err != nil {
		return true, unlessShort(s.err) // it was made and not written to
	}
	if magic != logMagic || version != fileVersion {
		return false, &DamageError{name, 0, fmt.Sprintf("the file begins with %08x and version %d, not as a log", uint32(magic), version)}
	}
	for offset := int64(logHead); ; {
		crc := s.int64()
		b := s.buffer()
		switch {
		case s.err == nil && len(b) == 0:
			return false, nil
		case errors.Is(s.err, errShort):
			return crc != 0, nil
		case errors.Is(s.err, ErrCorrupt):
			return false, &DamageError{name, offset, s.err.Error()}
		}
		if s.fill(s.buf[:1]); s.err != nil || s.buf[0] != recordEnd {
			return true, unlessShort(s.err)
		}
		if sum := adler32.Checksum(b); crc != int64(sum) {
			return false, &DamageError{name, offset, fmt.Sprintf("checksum %#x, its bytes have %#x", crc, sum)}
		}
		if err := yield(offset, b); err != nil {
			return false, err
		}
		offset += recordHead + int64(len(b)) + 1
	}
}

// unlessShort leaves out the error that the end of the file makes.
func unlessShort(err error) error {
	if errors.Is(err, errShort) {
		return nil
	}
	return err
}
