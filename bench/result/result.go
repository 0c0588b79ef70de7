// Package result is what a measurement leaves behind: plain data with a JSON form, made by
// the drivers of bench, read by its report and its baselines.
//
// Units stand last in a name: S seconds, Ms milliseconds, Us microseconds, Bytes; MB and GB
// are 10^6 and 10^9 bytes, of records as the client hands them over (keys and values with
// their framing, before compression). All figures of a Run are of its steady phase.
//
// The JSON form has a schema number; a reader accepts its own and every earlier one. Fields
// are only ever added.
package result

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Schema is the newest form that this package writes.
const Schema = 1

// File is one JSON document: everything that one command measured.
type File struct {
	Schema      int       `json:"schema"`
	Command     string    `json:"command"`           // as typed
	Version     string    `json:"version,omitempty"` // of the program that measured
	Started     time.Time `json:"started"`
	Ended       time.Time `json:"ended"`
	Interrupted bool      `json:"interrupted,omitempty"` // what follows is what was done until then
	Machine     Machine   `json:"machine"`
	Notes       []string  `json:"notes,omitempty"` // what a reader must know to judge the figures
	Floors      []Floor   `json:"floors,omitempty"`
	Runs        []Run     `json:"runs,omitempty"`
	Pairs       []Pairing `json:"pairs,omitempty"`
	Curves      []Curve   `json:"curves,omitempty"`
	Goals       []Goal    `json:"goals,omitempty"`
}

// Machine describes where the figures are from. It names no host.
type Machine struct {
	CPU               string  `json:"cpu"`
	CPUs              int     `json:"cpus"`
	MemoryBytes       int64   `json:"memoryBytes"`
	Kernel            string  `json:"kernel"`
	FileSystem        string  `json:"fileSystem"` // of the data directory, or of the temporary one: type and options
	CongestionControl string  `json:"congestionControl"`
	GoVersion         string  `json:"goVersion"`
	LoadAverage       float64 `json:"loadAverage"` // of one minute, when it began
}

// Run is one load against one server.
type Run struct {
	Name     string            `json:"name"` // unique within a File, e.g. "produce 1KiB p6 acks=1 batch=64KiB"
	Group    string            `json:"group,omitempty"`
	Scenario map[string]string `json:"scenario,omitempty"` // parameter -> value, for tables
	Target   string            `json:"target"`             // HOST:PORT
	Server   string            `json:"server,omitempty"`   // software and version, when it tells
	Client   string            `json:"client"`             // "raw" or "franz-go"
	Error    string            `json:"error,omitempty"`    // why there are no figures
	Note     string            `json:"note,omitempty"`

	Started      time.Time `json:"started"`
	WarmupS      float64   `json:"warmupS"`             // how long it really was
	WarmupCut    bool      `json:"warmupCut,omitempty"` // it ended at its limit: first appends to some partitions are in the figures
	SteadyS      float64   `json:"steadyS"`
	Records      int64     `json:"records"`
	Bytes        int64     `json:"bytes"`
	PayloadBytes int64     `json:"payloadBytes,omitempty"` // keys and values alone; 0: unknown
	Requests     int64     `json:"requests,omitempty"`     // 0: unknown
	Errors       int64     `json:"errors,omitempty"`
	TargetRate   float64   `json:"targetRate,omitempty"` // records/s asked for; 0: as fast as it goes
	RecordsPerS  float64   `json:"recordsPerS"`
	MBPerS       float64   `json:"mbPerS"`
	RequestsPerS float64   `json:"requestsPerS,omitempty"`

	// Latency is from the intended send time; Uncorrected from the moment of the send;
	// Lateness is how long after the intended time the generator sent. A closed loop has
	// only Uncorrected.
	Latency     *Latency `json:"latency,omitempty"`
	Uncorrected *Latency `json:"uncorrected,omitempty"`
	Lateness    *Latency `json:"lateness,omitempty"`

	Broker    *Cost `json:"broker,omitempty"` // nil: its process could not be seen
	Generator *Cost `json:"generator,omitempty"`
	// GeneratorBusy is the CPU time of the sending threads by their wall time, 0 to 1: near 1
	// the generator is the bottleneck. 0: the client library does not tell; see Generator.
	GeneratorBusy float64 `json:"generatorBusy,omitempty"`
	Series        []Point `json:"series,omitempty"`
	// Other is what went the other way meanwhile, in a run that produces and consumes.
	Other *Flow `json:"other,omitempty"`

	Floor      string  `json:"floor,omitempty"`      // name of the Floor that it is compared with
	FloorRatio float64 `json:"floorRatio,omitempty"` // broker CPU per unit against the floor's; 0: none
}

// Flow is the second direction of a Run.
type Flow struct {
	Direction   string   `json:"direction"` // "produced" or "consumed"
	Records     int64    `json:"records"`
	Bytes       int64    `json:"bytes"`
	Requests    int64    `json:"requests,omitempty"`
	Errors      int64    `json:"errors,omitempty"`
	RecordsPerS float64  `json:"recordsPerS"`
	MBPerS      float64  `json:"mbPerS"`
	Latency     *Latency `json:"latency,omitempty"` // from the intended time when there is a rate, else of requests
}

// Latency is a distribution.
type Latency struct {
	Count   int64   `json:"count"`
	MeanMs  float64 `json:"meanMs"`
	P50Ms   float64 `json:"p50Ms"`
	P90Ms   float64 `json:"p90Ms"`
	P95Ms   float64 `json:"p95Ms"`
	P99Ms   float64 `json:"p99Ms"`
	P999Ms  float64 `json:"p999Ms"`
	P9999Ms float64 `json:"p9999Ms"`
	MaxMs   float64 `json:"maxMs"`
	HDR     string  `json:"hdr,omitempty"` // HdrHistogram V2, compressed, base64; nanoseconds
}

// Cost is what a process spent.
type Cost struct {
	CPUSeconds         float64 `json:"cpuSeconds"`               // user and system
	Cores              float64 `json:"cores"`                    // CPU seconds per second
	CPUPerGB           float64 `json:"cpuPerGB,omitempty"`       // CPU seconds
	CPUPerMRecords     float64 `json:"cpuPerMRecords,omitempty"` // CPU seconds per million records
	CPUPerRequestUs    float64 `json:"cpuPerRequestUs,omitempty"`
	RSSAnonBytes       int64   `json:"rssAnonBytes,omitempty"` // highest seen
	RSSFileBytes       int64   `json:"rssFileBytes,omitempty"`
	SyscallsPerRequest float64 `json:"syscallsPerRequest,omitempty"`
	SyscallsBy         string  `json:"syscallsBy,omitempty"`         // how they were counted
	SwitchesPerRequest float64 `json:"switchesPerRequest,omitempty"` // context switches
	AllocsPerRequest   float64 `json:"allocsPerRequest,omitempty"`
	AllocsPerRecord    float64 `json:"allocsPerRecord,omitempty"`
	AllocsKnown        bool    `json:"allocsKnown,omitempty"`
	GCShare            float64 `json:"gcShare,omitempty"` // of its CPU time
}

// Point is one interval of a run.
type Point struct {
	AtS         float64 `json:"atS"` // end of the interval, since the run began
	IntervalS   float64 `json:"intervalS"`
	RecordsPerS float64 `json:"recordsPerS"`
	MBPerS      float64 `json:"mbPerS"`
	MeanMs      float64 `json:"meanMs,omitempty"`
	P50Ms       float64 `json:"p50Ms,omitempty"`
	P99Ms       float64 `json:"p99Ms,omitempty"`
	MaxMs       float64 `json:"maxMs,omitempty"`
	BrokerCores float64 `json:"brokerCores,omitempty"`
	Warmup      bool    `json:"warmup,omitempty"`
}

// Floor is what bare system calls cost on this machine for one unit of work.
type Floor struct {
	Name         string   `json:"name"`  // unique, e.g. "append 64KiB reno"
	Kind         string   `json:"kind"`  // append, sendfile, writev, reply, echo, group-commit, fdatasync, disk
	Title        string   `json:"title"` // what was done, in words
	Congestion   string   `json:"congestion,omitempty"`
	UnitBytes    int64    `json:"unitBytes,omitempty"`
	Connections  int      `json:"connections,omitempty"`
	Depth        int      `json:"depth,omitempty"`
	Samples      int      `json:"samples"`                // interleaved repetitions behind the medians below
	CPUPerUnitUs float64  `json:"cpuPerUnitUs,omitempty"` // of the serving process
	CPUPerGB     float64  `json:"cpuPerGB,omitempty"`
	UnitsPerS    float64  `json:"unitsPerS,omitempty"`
	MBPerS       float64  `json:"mbPerS,omitempty"`
	Spread       float64  `json:"spread,omitempty"` // (max-min)/median of the samples
	Latency      *Latency `json:"latency,omitempty"`
	Note         string   `json:"note,omitempty"`
}

// Pairing is one figure of A and of B, taken in turns.
type Pairing struct {
	Scenario       string    `json:"scenario"`
	Metric         string    `json:"metric"` // "records/s", "broker CPU s/GB", "p99 ms", ...
	HigherIsBetter bool      `json:"higherIsBetter"`
	AName          string    `json:"aName"`
	BName          string    `json:"bName"`
	A              []float64 `json:"a"`
	B              []float64 `json:"b"`
	MedianA        float64   `json:"medianA"`
	MedianB        float64   `json:"medianB"`
	Ratios         []float64 `json:"ratios"` // B/A, pair by pair
	Ratio          float64   `json:"ratio"`  // their median
	Low            float64   `json:"low"`    // and their range
	High           float64   `json:"high"`
}

// Curve is how a figure grows with a parameter.
type Curve struct {
	Name   string    `json:"name"`
	XLabel string    `json:"xLabel"`
	YLabel string    `json:"yLabel"`
	X      []float64 `json:"x"`
	Y      []float64 `json:"y"`
	Floor  []float64 `json:"floor,omitempty"`
	Note   string    `json:"note,omitempty"`
}

// Goal is one demand on the speed and what came of it.
type Goal struct {
	Title      string  `json:"title"`           // what is asked for, in words
	Run        string  `json:"run,omitempty"`   // name of the Run (or Curve) that it judges
	Metric     string  `json:"metric"`          // what Measured is, e.g. "broker CPU s/GB"
	Measured   float64 `json:"measured"`        // median of the rounds
	Floor      string  `json:"floor,omitempty"` // name of the Floor; empty: Limit is of Measured itself
	FloorValue float64 `json:"floorValue,omitempty"`
	Ratio      float64 `json:"ratio,omitempty"`   // Measured against FloorValue, median of the rounds; 0: no floor
	Low        float64 `json:"low,omitempty"`     // and its range over the rounds
	High       float64 `json:"high,omitempty"`    //
	Limit      float64 `json:"limit"`             // of Ratio when there is a floor, else of Measured
	AtLeast    bool    `json:"atLeast,omitempty"` // the limit is a lower one
	Met        bool    `json:"met"`
	Unknown    string  `json:"unknown,omitempty"` // why it was not measured; Met says nothing then
}

// SchemaError is a document from a newer program.
type SchemaError struct{ Schema int }

func (e *SchemaError) Error() string {
	return fmt.Sprintf("results have schema %d, this program reads up to %d: use a newer millrace", e.Schema, Schema)
}

// Write writes f as JSON with the newest schema number.
func (f *File) Write(w io.Writer) error {
	f.Schema = Schema
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(f)
}

// Read reads a File; a newer schema is a *SchemaError.
func Read(r io.Reader) (*File, error) {
	var f File
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	if f.Schema > Schema {
		return nil, &SchemaError{Schema: f.Schema}
	}
	return &f, nil
}

// FloorNamed returns the floor of that name.
func (f *File) FloorNamed(name string) (Floor, bool) {
	for _, fl := range f.Floors {
		if fl.Name == name {
			return fl, true
		}
	}
	return Floor{}, false
}
