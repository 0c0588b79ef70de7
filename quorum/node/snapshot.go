package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/quorum/tree"
)

// A snapshot is the eight bytes snapshotMagic, the index of the last entry that had reached the
// tree (8 bytes, big endian), and the tree.
const snapshotMagic = "MILLSNP1"

// ErrNoSnapshot: the file is something else, or a newer version's.
var ErrNoSnapshot = errors.New("not a snapshot of a quorum, or one of a newer version")

// WriteSnapshot writes a state as a snapshot. applied is the index of its last entry.
func WriteSnapshot(w io.Writer, s *tree.State, applied uint64) error {
	head := binary.BigEndian.AppendUint64([]byte(snapshotMagic), applied)
	if _, err := w.Write(head); err != nil {
		return err
	}
	return s.Encode(w)
}

// ReadSnapshot reads what WriteSnapshot wrote.
func ReadSnapshot(r io.Reader) (*tree.State, uint64, error) {
	var head [len(snapshotMagic) + 8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, 0, fmt.Errorf("read a snapshot's head: %w", err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, 0, ErrNoSnapshot
	}
	s, err := tree.Decode(r)
	if err != nil {
		return nil, 0, fmt.Errorf("decode a snapshot: %w", err)
	}
	return s, binary.BigEndian.Uint64(head[len(snapshotMagic):]), nil
}
