package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/millrace/millrace/internal/vfs"
)

// TxnEntryBytes is the size of an entry of a .txnindex file.
const TxnEntryBytes = 34

// txnVersion is the only version of an entry that Kafka has.
const txnVersion = 0

// AbortedTxn is one aborted transaction: a read_committed consumer drops the batches of
// ProducerID from FirstOffset up to its abort marker at LastOffset. LastStableOffset is
// the log's at the time of the marker. Kafka: AbortedTxn.
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64
	LastOffset       int64
	LastStableOffset int64
}

// AppendTo appends the entry's bytes to dst.
func (t AbortedTxn) AppendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, txnVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.ProducerID))
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.FirstOffset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.LastOffset))
	return binary.BigEndian.AppendUint64(dst, uint64(t.LastStableOffset))
}

// ParseTxns reads the entries of a .txnindex file: whole ones of a known version whose last
// offsets grow. What is wrong with the rest is a *CorruptError beside the good entries.
func ParseTxns(name string, b []byte) ([]AbortedTxn, error) {
	var txns []AbortedTxn
	for len(b) >= TxnEntryBytes {
		if v := binary.BigEndian.Uint16(b); v != txnVersion {
			return txns, &CorruptError{Name: name, Reason: fmt.Sprintf("entry version %d", v)}
		}
		t := AbortedTxn{
			ProducerID:       int64(binary.BigEndian.Uint64(b[2:])),
			FirstOffset:      int64(binary.BigEndian.Uint64(b[10:])),
			LastOffset:       int64(binary.BigEndian.Uint64(b[18:])),
			LastStableOffset: int64(binary.BigEndian.Uint64(b[26:])),
		}
		if t.FirstOffset < 0 || t.FirstOffset > t.LastOffset || len(txns) > 0 && t.LastOffset <= txns[len(txns)-1].LastOffset {
			return txns, &CorruptError{Name: name, Reason: fmt.Sprintf("entry %d: offsets %d to %d", len(txns), t.FirstOffset, t.LastOffset)}
		}
		txns = append(txns, t)
		b = b[TxnEntryBytes:]
	}
	if len(b) > 0 {
		return txns, &CorruptError{Name: name, Reason: fmt.Sprintf("%d bytes behind the last entry", len(b))}
	}
	return txns, nil
}

// ReadTxns reads a .txnindex file; an absent one has no entries. Errors as ParseTxns.
func ReadTxns(fs vfs.FS, name string) ([]AbortedTxn, error) {
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	return ParseTxns(name, b)
}

// WriteTxn stores t as entry number n of a .txnindex file and cuts what lies behind it.
func WriteTxn(fs vfs.FS, name string, n int, t AbortedTxn) error {
	f, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(t.AppendTo(nil), int64(n)*TxnEntryBytes)
	return errors.Join(err, f.Truncate(int64(n+1)*TxnEntryBytes), f.Close())
}

// TruncateTxns keeps the first n entries of a .txnindex file, which may be absent.
func TruncateTxns(fs vfs.FS, name string, n int) error {
	f, err := fs.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(n)*TxnEntryBytes), f.Close())
}
