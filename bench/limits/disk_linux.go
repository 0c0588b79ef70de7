package limits

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	syncFileBytes = 256 << 20 // then a new file is begun
	diskFileBytes = 1 << 30   // overwritten from its start again and again
	readFileBytes = 512 << 20
	readThreads   = 4
	// loadPieceBytes is what the other thread writes at a time during FdatasyncLoaded, and
	// loadForceBytes after how much it has the kernel begin to write it out.
	loadPieceBytes = 128 << 10
	loadForceBytes = 8 << 20
)

// prepareDisk makes what j needs and returns the measurement: it runs until a moment and
// returns how long each unit of work took.
func prepareDisk(j job) (func(until time.Time) ([]int64, error), error) {
	switch j.Kind {
	case Fdatasync, FdatasyncLoaded:
		return prepareSync(j)
	case DiskWrite:
		fd, err := newFile(filepath.Join(j.Dir, "write"), diskFileBytes)
		if err != nil {
			return nil, err
		}
		return directWrites(fd, j.SizeBytes, diskFileBytes)
	case DiskRead:
		return prepareRead(j)
	}
	return nil, &UnknownError{What: "kind", Value: j.Kind, Known: Kinds()}
}

// prepareSync measures fdatasync after each write of SizeBytes.
func prepareSync(j job) (func(time.Time) ([]int64, error), error) {
	s := &syncer{j: j, block: newBatch(j.SizeBytes, 2)}
	if err := s.newFile(); err != nil {
		return nil, err
	}
	if j.Kind == Fdatasync {
		return s.run, nil
	}
	load, err := newFile(filepath.Join(j.Dir, "load"), syncFileBytes)
	if err != nil {
		return nil, err
	}
	return func(until time.Time) ([]int64, error) {
		var wg sync.WaitGroup
		var failed error
		wg.Go(func() { failed = writeLoad(load, until) })
		ns, err := s.run(until)
		wg.Wait()
		if err == nil {
			err = failed
		}
		return ns, err
	}, nil
}

type syncer struct {
	j        job
	block    []byte
	fd       int
	position int64
	files    int
}

// newFile begins a file in the state that the way asks for.
func (s *syncer) newFile() error {
	if s.files > 0 {
		_ = unix.Close(s.fd)
	}
	taken := int64(syncFileBytes)
	if s.j.Way == wayExtending {
		taken = 0
	}
	var err error
	s.files++
	s.fd, err = newFile(filepath.Join(s.j.Dir, fmt.Sprintf("sync-%d", s.files)), taken)
	s.position = 0
	if err != nil || s.j.Way != wayPrewritten {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < syncFileBytes; at += int64(len(zeros)) {
		if _, err := unix.Pwrite(s.fd, zeros, at); err != nil {
			return err
		}
	}
	return unix.Fsync(s.fd)
}

func (s *syncer) run(until time.Time) ([]int64, error) {
	var ns []int64
	for now := time.Now(); now.Before(until); {
		if s.position+int64(len(s.block)) > syncFileBytes {
			if s.j.Way == wayPrewritten {
				s.position = 0
			} else if err := s.newFile(); err != nil {
				return nil, err
			}
		}
		n, err := unix.Pwrite(s.fd, s.block, s.position)
		if err != nil {
			return nil, err
		}
		s.position += int64(n)
		began := time.Now()
		if err := fdatasync(s.fd); err != nil {
			return nil, err
		}
		now = time.Now()
		ns = append(ns, int64(now.Sub(began)))
	}
	return ns, nil
}

// writeLoad writes LoadBytesPerS until a moment.
func writeLoad(fd int, until time.Time) error {
	piece := newBatch(loadPieceBytes, 3)
	began := time.Now()
	for written := int64(0); ; {
		due := began.Add(time.Duration(float64(written) / LoadBytesPerS * float64(time.Second)))
		if due.After(until) || time.Now().After(until) {
			return nil
		}
		time.Sleep(time.Until(due))
		at := written % syncFileBytes
		if _, err := unix.Pwrite(fd, piece, at); err != nil {
			return err
		}
		written += loadPieceBytes
		if written%loadForceBytes == 0 {
			if err := unix.SyncFileRange(fd, at+loadPieceBytes-loadForceBytes, loadForceBytes, unix.SYNC_FILE_RANGE_WRITE); err != nil {
				return err
			}
		}
	}
}

// alignedBuffer returns n bytes at a block's boundary, as O_DIRECT wants them.
func alignedBuffer(n int) []byte {
	b := make([]byte, n+blockBytes)
	skip := blockBytes - int(uintptr(unsafe.Pointer(&b[0]))%blockBytes)
	return b[skip : skip+n]
}

// direct makes fd go past the page cache.
func direct(fd int) error {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_DIRECT); err != nil {
		return fmt.Errorf("O_DIRECT: %w (does the file system have it? tmpfs does not)", err)
	}
	return nil
}

func directWrites(fd, size int, fileBytes int64) (func(time.Time) ([]int64, error), error) {
	if err := direct(fd); err != nil {
		return nil, err
	}
	block := alignedBuffer(size)
	copy(block, newBatch(size, 4))
	at := int64(0)
	return func(until time.Time) ([]int64, error) {
		var ns []int64
		for began := time.Now(); began.Before(until); {
			if at+int64(size) > fileBytes {
				at = 0
			}
			if _, err := unix.Pwrite(fd, block, at); err != nil {
				return nil, err
			}
			at += int64(size)
			now := time.Now()
			ns = append(ns, int64(now.Sub(began)))
			began = now
		}
		return ns, nil
	}, nil
}

// prepareRead writes a file and reads it: from its start on, or at random places.
func prepareRead(j job) (func(time.Time) ([]int64, error), error) {
	fd, err := newFile(filepath.Join(j.Dir, "read"), readFileBytes)
	if err != nil {
		return nil, err
	}
	if err := direct(fd); err != nil {
		return nil, err
	}
	block := alignedBuffer(4 << 20)
	copy(block, newBatch(len(block), 5))
	for at := int64(0); at < readFileBytes; at += int64(len(block)) {
		if _, err := unix.Pwrite(fd, block, at); err != nil {
			return nil, err
		}
	}
	if err := unix.Fsync(fd); err != nil {
		return nil, err
	}
	places := readFileBytes / int64(j.SizeBytes)
	if j.Way == waySequential {
		at := int64(-1)
		return func(until time.Time) ([]int64, error) {
			return reads(fd, j.SizeBytes, until, func() int64 { at++; return at % places })
		}, nil
	}
	return func(until time.Time) ([]int64, error) { return randomReads(fd, j.SizeBytes, places, until) }, nil
}

// reads reads block after block until a moment; place numbers the blocks of the file.
func reads(fd, size int, until time.Time, place func() int64) ([]int64, error) {
	block := alignedBuffer(size)
	var ns []int64
	for began := time.Now(); began.Before(until); {
		if _, err := unix.Pread(fd, block, place()*int64(size)); err != nil {
			return nil, err
		}
		now := time.Now()
		ns = append(ns, int64(now.Sub(began)))
		began = now
	}
	return ns, nil
}

func randomReads(fd, size int, places int64, until time.Time) ([]int64, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []int64
	var failed error
	for i := range readThreads {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 6))
			ns, err := reads(fd, size, until, func() int64 { return rnd.Int64N(places) })
			mu.Lock()
			defer mu.Unlock()
			all = append(all, ns...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	return all, failed
}
