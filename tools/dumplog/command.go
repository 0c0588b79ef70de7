package dumplog

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # the batches of a segment
  {{.}} --files data/clicks-0/00000000000000000000.log

  # with the records in them
  {{.}} --files data/clicks-0/00000000000000000000.log --print-data-log

  # check indexes against the log, printing only what is wrong
  {{.}} --files data/clicks-0/00000000000000000000.index,data/clicks-0/00000000000000000000.timeindex --verify-index-only

  # committed offsets and groups
  {{.}} --files data/__consumer_offsets-0/00000000000000000000.log --offsets-decoder`

// Format selects whose lines are printed.
type Format string

// The formats of Kafka's tool that differ.
const (
	FormatToday Format = "today" // Kafka 4
	Format24    Format = "2.4"
	Format10    Format = "1.0"
)

// Options say what to print.
type Options struct {
	Format             Format
	PrintData          bool // keys and values
	Deep               bool // records, not only batches
	VerifyOnly         bool // indexes: only what is wrong
	SanityOnly         bool // indexes: the check of a start
	SkipRecordMetadata bool
	MaxMessageBytes    int
	MaxBytes           int // of each log file
	Decoder            Decoder
}

// Decoder makes text of the keys and values of Kafka's own topics.
type Decoder string

// The decoders; the zero value prints keys and values as text.
const (
	OffsetsDecoder        Decoder = "offsets"
	TransactionLogDecoder Decoder = "transaction-log"
)

// Command returns the tool; name is what the user calls it by.
func Command(name string) *cobra.Command {
	var files, format, keyDecoder, valueDecoder string
	var offsets, transactions bool
	o := Options{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Print what log segments, indexes and snapshots hold (kafka-dump-log.sh)",
		Long:    "This tool helps to parse a log file and dump its contents to the console, useful for debugging a seemingly corrupt log segment.",
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&files, "files", "", "REQUIRED: The comma separated list of .log, .index, .timeindex, .txnindex and .snapshot files.")
	f.BoolVar(&o.PrintData, "print-data-log", false, "Print the records with keys and values. On with any decoder.")
	f.BoolVar(&o.Deep, "deep-iteration", false, "Print the records of each batch. On with --print-data-log.")
	f.BoolVar(&o.VerifyOnly, "verify-index-only", false, "Check the index against its log without printing it.")
	f.BoolVar(&o.SanityOnly, "index-sanity-check", false, "Only the check that a broker makes at start to see whether an index must be rebuilt.")
	f.IntVar(&o.MaxBytes, "max-bytes", math.MaxInt32, "Read at most this much of each log file.")
	f.IntVar(&o.MaxMessageBytes, "max-message-size", 5<<20, "Size of the largest batch.")
	f.BoolVar(&o.SkipRecordMetadata, "skip-record-metadata", false, "Print only keys and values of records.")
	f.BoolVar(&offsets, "offsets-decoder", false, "Read records as those of __consumer_offsets.")
	f.BoolVar(&transactions, "transaction-log-decoder", false, "Read records as those of __transaction_state.")
	f.StringVar(&format, "print-format", string(FormatToday), "Lines as Kafka 1.0, 2.4 or today's prints them.")
	f.StringVar(&keyDecoder, "key-decoder-class", "", "")
	f.StringVar(&valueDecoder, "value-decoder-class", "", "")
	cli.Hide(f, "key-decoder-class", "value-decoder-class")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if files == "" {
			return cli.Missing("files")
		}
		o.Format = Format(format)
		switch o.Format {
		case FormatToday, Format24, Format10:
		default:
			return cli.Usagef("--print-format %s: must be today, 2.4 or 1.0", format)
		}
		for _, class := range []string{keyDecoder, valueDecoder} {
			if class != "" && !strings.HasSuffix(class, "StringDecoder") {
				return cli.Usagef("decoder class %s: only StringDecoder exists (Java classes cannot be loaded)", class)
			}
		}
		switch {
		case offsets:
			o.Decoder = OffsetsDecoder
		case transactions:
			o.Decoder = TransactionLogDecoder
		}
		// Kafka 1.0 did not yet let a decoder or --print-data-log imply --deep-iteration.
		o.PrintData = o.PrintData || o.Decoder != "" || keyDecoder != "" || valueDecoder != ""
		o.Deep = o.Deep || (o.PrintData && o.Format != Format10)
		return run(cmd, o, strings.Split(files, ","))
	}
	return cmd
}

func run(cmd *cobra.Command, o Options, files []string) error {
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	d := &dumper{o: o, out: out}
	var failed error
	for _, path := range files {
		if failed = d.dump(strings.TrimSpace(path)); failed != nil {
			break
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	for _, line := range d.complaints() {
		fmt.Fprintln(cmd.ErrOrStderr(), line)
	}
	return failed
}

// dumper is one run over several files.
type dumper struct {
	o   Options
	out *bufio.Writer

	immediate      []string // complaints of their own
	indexMismatch  findings // index offset, log offset
	timeMismatch   findings // index timestamp, log timestamp
	timeOutOfOrder findings // index timestamp, previous one
	notFound       findings // index offset, log offset
	gaps           findings // offset, next offset
}

// dump prints one file by what its name ends with.
func (d *dumper) dump(path string) error {
	fmt.Fprintf(d.out, "Dumping %s\n", path)
	switch filepath.Ext(path) {
	case ".log":
		return d.dumpLog(path)
	case ".index":
		return d.dumpIndex(path)
	case ".timeindex":
		return d.dumpTimeIndex(path)
	case ".snapshot":
		return d.dumpSnapshot(path)
	case ".txnindex":
		return d.dumpTxnIndex(path)
	}
	d.immediate = append(d.immediate, "Ignoring unknown file "+path)
	return nil
}

// baseOffset reads the offset that a file is named for.
func baseOffset(path string) (int64, error) {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	var base int64
	if _, err := fmt.Sscanf(name, "%d", &base); err != nil || base < 0 {
		return 0, fmt.Errorf("%s: the name does not start with an offset", path)
	}
	return base, nil
}

// sibling is the file of the same segment with another ending.
func sibling(path, ext string) string {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return filepath.Join(filepath.Dir(path), name+ext)
}

// findings are pairs of numbers by file, in the order in which files were met.
type findings struct {
	files []string
	pairs map[string][][2]int64
}

func (f *findings) add(file string, a, b int64) {
	if f.pairs == nil {
		f.pairs = map[string][][2]int64{}
	}
	if _, known := f.pairs[file]; !known {
		f.files = append(f.files, file)
	}
	f.pairs[file] = append(f.pairs[file], [2]int64{a, b})
}

// lines prints head for each file and format for each pair; newestFirst is the order in
// which Kafka's tool happens to print some of them.
func (f *findings) lines(head func(file string) string, format string, newestFirst bool) []string {
	var out []string
	for _, file := range f.files {
		out = append(out, head(file))
		pairs := f.pairs[file]
		for i := range pairs {
			p := pairs[i]
			if newestFirst {
				p = pairs[len(pairs)-1-i]
			}
			out = append(out, fmt.Sprintf(format, p[0], p[1]))
		}
	}
	return out
}

// complaints are what Kafka's tool prints to stderr at the end.
func (d *dumper) complaints() []string {
	named := func(text string) func(string) string { return func(file string) string { return text + file } }
	gapHead := "Non-consecutive offsets in "
	if d.o.Format == Format10 {
		gapHead += ":"
	}
	out := d.immediate
	out = append(out, d.indexMismatch.lines(named("Mismatches in :"), "  Index offset: %d, log offset: %d", true)...)
	out = append(out, d.timeMismatch.lines(named("Found timestamp mismatch in :"), "  Index timestamp: %d, log timestamp: %d", false)...)
	out = append(out, d.timeOutOfOrder.lines(named("Found out of order timestamp in :"), "  Index timestamp: %d, Previously indexed timestamp: %d", false)...)
	out = append(out, d.notFound.lines(func(string) string { return "The following indexed offsets are not found in the log." }, "Indexed offset: %d, found log offset: %d", false)...)
	return append(out, d.gaps.lines(named(gapHead), "  %d is followed by %d", true)...)
}

// read returns a file, at most MaxBytes of a log.
func (d *dumper) read(path string) ([]byte, error) { return os.ReadFile(path) }
