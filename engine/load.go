package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/engine/checkpoint"
	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/segment"
)

// load opens all partitions of the directory. An I/O error takes the directory offline and
// is not returned; a *SetupError is.
func (d *logDir) load(ctx context.Context) error {
	err := d.loadAll(ctx)
	d.loaded = err == nil
	var setup *SetupError
	if err == nil || errors.As(err, &setup) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if vfs.OutOfFiles(err) {
		return d.limited(err) // nothing is wrong with the directory
	}
	d.fail(err)
	return nil
}

func (d *logDir) loadAll(ctx context.Context) error {
	clean, err := d.takeCleanMark()
	if err != nil {
		return err
	}
	entries, err := d.host.fs.ReadDir(d.host.dir)
	if err != nil {
		return err
	}
	points := d.loadOffsets(checkpoint.RecoveryPointFile, "all of each log is recovered if need be")
	starts := d.loadOffsets(checkpoint.LogStartFile, "logs start with their first segments")
	marks := d.loadOffsets(checkpoint.HighWatermarkFile, "high watermarks start at the log starts")
	cleaned := d.loadOffsets(checkpoint.CleanerFile, "compacted logs are cleaned from their starts")
	var specs []openSpec
	for _, e := range entries {
		path := filepath.Join(d.host.dir, e.Name())
		if !e.IsDir() {
			continue
		}
		if isDeletedDir(e.Name()) {
			d.deleteLater(path, 0)
			continue
		}
		if d.noteFuture(e.Name()) {
			continue
		}
		tp, ok := parseDir(e.Name())
		if !ok {
			if e.Name() != "lost+found" && !slices.Contains(d.store.o.OtherFolders, e.Name()) {
				d.host.log.Warn("a folder that is no partition's is left alone", "path", path)
			}
			continue
		}
		cfg := d.store.o.DefaultConfig
		if d.store.o.ConfigFor != nil {
			cfg = d.store.o.ConfigFor(tp.Topic)
		}
		spec := openSpec{tp: tp, dir: path, cfg: cfg, clean: clean, recoveryPoint: points[tp], logStart: starts[tp], highWatermark: marks[tp], cleanedTo: never}
		if offset, ok := cleaned[tp]; ok {
			spec.cleanedTo = offset
		}
		specs = append(specs, spec)
	}
	return d.openAll(ctx, specs, clean)
}

// takeCleanMark tells whether the last stop was clean and removes the mark, durably, before
// anything is written: a crash from here on is not clean.
func (d *logDir) takeCleanMark() (clean bool, err error) {
	name := filepath.Join(d.host.dir, checkpoint.CleanShutdownFile)
	err = d.host.fs.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, d.warnIfFull("log directory not synced", d.host.fs.SyncDir(d.host.dir))
	}
	if err != nil {
		return false, err
	}
	return true, d.host.fs.SyncDir(d.host.dir)
}

// loadOffsets reads a checkpoint file. A damaged one is worth a warning and no more: the
// checkpoints save work, they do not hold truth.
func (d *logDir) loadOffsets(file, without string) map[TopicPartition]int64 {
	offsets := make(map[TopicPartition]int64)
	name := filepath.Join(d.host.dir, file)
	data, err := checkpoint.Load(d.host.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		return offsets
	}
	var entries []checkpoint.Offset
	if err == nil {
		entries, err = checkpoint.ParseOffsets(data)
	}
	if err != nil {
		d.host.log.Warn("checkpoint file ignored: "+without, "file", name, "error", err)
		return offsets
	}
	for _, e := range entries {
		offsets[TopicPartition{e.Topic, e.Partition}] = e.Offset
	}
	return offsets
}

// openAll opens the logs with as many goroutines as configured.
func (d *logDir) openAll(ctx context.Context, specs []openSpec, clean bool) error {
	p := progress{d: d, now: RecoveryProgress{Dir: d.host.dir, Clean: clean, Logs: len(specs)}}
	p.show(func(*RecoveryProgress) {})
	var next atomic.Int64
	var wg sync.WaitGroup
	threads := min(d.store.o.RecoveryThreads, max(len(specs), 1))
	errs := make([]error, threads)
	for t := range threads {
		wg.Go(func() {
			for errs[t] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(specs) {
					return
				}
				if errs[t] = ctx.Err(); errs[t] == nil {
					errs[t] = d.openOne(specs[i], &p)
				}
			}
			next.Store(int64(len(specs))) // one failure ends the loading
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (d *logDir) openOne(spec openSpec, p *progress) error {
	shown := int64(0)
	spec.progress = func(done, _ int64) {
		p.show(func(r *RecoveryProgress) { r.DoneBytes += done - shown })
		shown = done
	}
	l, res, err := openLog(d.host, spec)
	if err != nil {
		return fmt.Errorf("partition %s: %w", spec.tp, err)
	}
	d.report(spec, l, res)
	p.show(func(r *RecoveryProgress) {
		r.LogsDone++
		r.DoneBytes += res.ScannedBytes - shown
		r.TruncatedBytes += res.TruncatedBytes
		r.RebuiltIndexes += res.RebuiltIndexes
		r.RemovedSegments += res.RemovedSegments
	})
	return d.store.add(l)
}

func (d *logDir) report(spec openSpec, l *Log, res segment.RecoveryResult) {
	if err := l.Failure(); err != nil {
		d.host.log.Error("partition is not served", "partition", spec.tp.String(), "dir", spec.dir, "error", err)
	}
	if res.TruncatedBytes > 0 || res.RemovedSegments > 0 {
		d.host.log.Warn("log was cut at its first bad batch", "partition", spec.tp.String(), "dir", spec.dir,
			"truncated_bytes", res.TruncatedBytes, "removed_segments", res.RemovedSegments, "log_end_offset", l.LogEndOffset())
	}
}

// add puts a loaded log into the map.
func (s *Store) add(l *Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.logs[l.tp]; ok {
		s.twins = append(s.twins, l)
		return nil
	}
	s.logs[l.tp] = l
	s.dirOf(l).count++
	return nil
}

// progress collects what the loading goroutines report.
type progress struct {
	d   *logDir
	mu  sync.Mutex
	now RecoveryProgress
}

func (p *progress) show(change func(*RecoveryProgress)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.now)
	if tell := p.d.store.o.Progress; tell != nil {
		tell(p.now)
	}
}

// parseDir splits a folder's name into topic and partition.
func parseDir(name string) (TopicPartition, bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return TopicPartition{}, false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	tp := TopicPartition{Topic: name[:i], Partition: int32(n)}
	return tp, err == nil && n >= 0 && checkName(tp) == nil && tp.String() == name
}

const maxTopicNameBytes = 249 // Kafka's Topic.MAX_NAME_LENGTH

// checkName keeps a topic's name from leaving its directory; who creates topics checks more.
func checkName(tp TopicPartition) error {
	bad := strings.ContainsFunc(tp.Topic, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	})
	if bad || tp.Topic == "" || tp.Topic == "." || tp.Topic == ".." || len(tp.Topic) > maxTopicNameBytes || tp.Partition < 0 {
		return fmt.Errorf("engine: %q, partition %d, is no partition's name", tp.Topic, tp.Partition)
	}
	return nil
}

func compareTP(a, b TopicPartition) int {
	return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}
