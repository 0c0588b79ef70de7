package limits

import "slices"

// What a way consists of: how bytes get to and from the file, and who waits for the sockets.
const (
	byMmap   = "mmap"   // a copy into a mapping of a file whose space was taken, faulted in 1 MiB ahead
	byPwrite = "pwrite" // pwrite into a file whose space was taken
	byPread  = "pread"

	onEpoll     = "epoll"     // one thread, edge-triggered, replies coalesced
	onBlocking  = "blocking"  // a thread per connection in blocking calls
	onGoroutine = "goroutine" // a goroutine per connection on the runtime's poller, replies coalesced

	wayInline = "inline" // the loop syncs itself, then answers
	waySyncer = "syncer" // another thread syncs and answers while the loop receives and appends
	wayRelay  = "relay"  // another thread only syncs, the loop receives, appends and answers

	wayFallocated = "fallocated" // space taken before
	wayExtending  = "extending"  // the file grows
	wayPrewritten = "prewritten" // written before, now overwritten
	waySequential = "sequential" // one after the other
	wayRandom     = "random x4"  // at random places by four threads
)

// Ways returns the ways of doing the work of s that are worth a measurement, the one that
// usually is the cheapest first.
func Ways(s Spec) []string {
	many := s.Connections > 8
	switch s.Kind {
	case Append, AppendOneWay:
		first, second := byMmap, byPwrite
		if s.SizeBytes >= 32<<10 {
			first, second = byPwrite, byMmap
		}
		ways := []string{first + " " + onEpoll, second + " " + onEpoll}
		if many {
			return append(ways, first+" "+onGoroutine)
		}
		return append(ways, first+" "+onBlocking)
	case Echo:
		return []string{onEpoll, onGoroutine}
	case Sendfile, Writev:
		if many {
			return []string{onEpoll, onGoroutine}
		}
		return []string{onBlocking, onEpoll, onGoroutine}
	case Reply:
		if many {
			return []string{byMmap + " " + onEpoll, byMmap + " " + onGoroutine}
		}
		return []string{byMmap + " " + onBlocking, byMmap + " " + onEpoll, byPread + " " + onEpoll, byMmap + " " + onGoroutine}
	case GroupCommit:
		return []string{waySyncer, wayRelay, wayInline}
	case Fdatasync:
		return []string{wayFallocated, wayExtending, wayPrewritten}
	case FdatasyncLoaded:
		return []string{wayFallocated, wayPrewritten}
	case DiskRead:
		if s.SizeBytes < 64<<10 {
			return []string{wayRandom}
		}
	}
	return []string{waySequential}
}

// networked reports whether a kind has a client on a socket.
func networked(kind string) bool {
	switch kind {
	case Fdatasync, FdatasyncLoaded, DiskWrite, DiskRead:
		return false
	}
	return true
}

// Matrix returns the floors that o asks for, one Spec each, without ways.
func Matrix(o Options) ([]Spec, error) {
	o = o.withDefaults()
	var specs []Spec
	for _, kind := range o.Kinds {
		if !slices.Contains(Kinds(), kind) {
			return nil, &UnknownError{What: "kind", Value: kind, Known: Kinds()}
		}
		for _, s := range shapes(kind, o) {
			if !networked(kind) {
				specs = append(specs, s)
				continue
			}
			for _, congestion := range congestions(kind, o) {
				s.Congestion = congestion
				specs = append(specs, s)
			}
		}
	}
	return specs, nil
}

// congestions returns the controls to try: where the disk decides, one is enough.
func congestions(kind string, o Options) []string {
	if kind == GroupCommit {
		return o.Congestion[:1]
	}
	return o.Congestion
}

// shapes returns the sizes and the connections of a kind.
func shapes(kind string, o Options) []Spec {
	var specs []Spec
	add := func(connections, depth int, sizes ...int) {
		if o.Connections > 0 && networked(kind) {
			connections = o.Connections
		}
		if o.Depth > 0 && networked(kind) {
			depth = o.Depth
		}
		for _, size := range sizes {
			s := Spec{Kind: kind, SizeBytes: size, Connections: connections, Depth: depth}
			if !slices.Contains(specs, s) {
				specs = append(specs, s)
			}
		}
	}
	sizes := func(def ...int) []int {
		if len(o.Sizes) > 0 {
			return o.Sizes
		}
		return def
	}
	switch kind {
	case Append:
		add(1, 5, sizes(200, 1<<10, 16<<10, 64<<10, 256<<10)...)
		add(100, 5, sizes(1<<10)...)
	case AppendOneWay:
		add(1, 5, sizes(200, 1<<10, 16<<10, 64<<10, 256<<10)...)
	case Sendfile, Writev:
		add(1, 1, sizes(1<<20)...)
	case Reply:
		add(1, 1, sizes(1<<10, 16<<10)...)
	case Echo:
		add(100, 1, 100)
		add(100, 5, 100)
	case GroupCommit:
		add(100, 1, sizes(1<<10)...)
		add(100, 5, sizes(1<<10)...)
	case Fdatasync:
		add(0, 0, sizes(4<<10, 64<<10, 1<<20)...)
	case FdatasyncLoaded:
		add(0, 0, sizes(4<<10, 1<<20)...)
	case DiskWrite:
		add(0, 0, 1<<20)
	case DiskRead:
		add(0, 0, 1<<20, 4<<10)
	}
	return specs
}

// validate says what is wrong with s, which Matrix never makes wrong.
func (s Spec) validate() error {
	if !slices.Contains(Kinds(), s.Kind) {
		return &UnknownError{What: "kind", Value: s.Kind, Known: Kinds()}
	}
	if s.Way != "" && !slices.Contains(Ways(s), s.Way) {
		return &UnknownError{What: "way of " + s.Kind, Value: s.Way, Known: Ways(s)}
	}
	lowest := 1
	switch s.Kind {
	case Append, AppendOneWay, GroupCommit, Echo:
		lowest = smallestBatchBytes
	case Fdatasync, FdatasyncLoaded:
		lowest = 512
	case DiskWrite, DiskRead:
		lowest = blockBytes
	}
	if s.SizeBytes < lowest || s.SizeBytes > maxSizeBytes || !networked(s.Kind) && s.SizeBytes%512 != 0 {
		return &SizeError{Kind: s.Kind, SizeBytes: s.SizeBytes, LowestBytes: lowest}
	}
	if networked(s.Kind) && (s.Connections < 1 || s.Depth < 1) {
		return &ShapeError{Spec: s}
	}
	return nil
}
