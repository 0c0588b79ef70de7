package console

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

// lineReader turns lines into records (Kafka's LineMessageReader):
//
//	[headers<headers.delimiter>][key<key.separator>]value
//
// with headers as name<headers.key.separator>value<headers.separator>...
type lineReader struct {
	in     *bufio.Reader
	prompt func() // before each line; nil when nobody is there to see it
	line   int

	topic                  string
	parseKey, parseHeaders bool
	keySeparator           string
	headersDelimiter       string
	headersSeparator       *regexp.Regexp
	headersKeySeparator    string
	ignoreError            bool
	nullMarker             string
	hasNullMarker          bool
}

func newLineReader(in io.Reader, topic string, p cli.Props) (*lineReader, error) {
	r := &lineReader{
		in: bufio.NewReaderSize(in, 64<<10), topic: topic,
		parseKey: p.Bool("parse.key"), parseHeaders: p.Bool("parse.headers"), ignoreError: p.Bool("ignore.error"),
		keySeparator: p.Or("key.separator", "\t"), headersDelimiter: p.Or("headers.delimiter", "\t"),
		headersKeySeparator: p.Or("headers.key.separator", ":"),
	}
	r.nullMarker, r.hasNullMarker = p["null.marker"]
	separator := p.Or("headers.separator", ",")
	for _, clash := range []struct {
		same bool
		text string
	}{
		{r.headersDelimiter == separator, "headers.delimiter and headers.separator may not be equal"},
		{r.headersDelimiter == r.headersKeySeparator, "headers.delimiter and headers.key.separator may not be equal"},
		{separator == r.headersKeySeparator, "headers.separator and headers.key.separator may not be equal"},
		{r.isNull(r.keySeparator), "null.marker and key.separator may not be equal"},
		{r.isNull(separator), "null.marker and headers.separator may not be equal"},
		{r.isNull(r.headersDelimiter), "null.marker and headers.delimiter may not be equal"},
		{r.isNull(r.headersKeySeparator), "null.marker and headers.key.separator may not be equal"},
	} {
		if clash.same {
			return nil, errors.New(clash.text)
		}
	}
	re, err := regexp.Compile(separator)
	if err != nil {
		return nil, fmt.Errorf("headers.separator=%s: %w", separator, err)
	}
	r.headersSeparator = re
	return r, nil
}

func (r *lineReader) isNull(s string) bool { return r.hasNullMarker && s == r.nullMarker }

// next returns the record of the next line; io.EOF at the end of the input.
func (r *lineReader) next() (*kgo.Record, error) {
	r.line++
	if r.prompt != nil {
		r.prompt()
	}
	text, err := r.in.ReadBytes('\n')
	if len(text) == 0 && err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte{'\n'}), []byte{'\r'})
	return r.parse(string(text))
}

func (r *lineReader) parse(line string) (*kgo.Record, error) {
	rest := line
	headers, rest, hasHeaders, err := r.cut(r.parseHeaders, rest, line, r.headersDelimiter, "headers delimiter")
	if err != nil {
		return nil, err
	}
	key, rest, hasKey, err := r.cut(r.parseKey, rest, line, r.keySeparator, "key separator")
	if err != nil {
		return nil, err
	}
	rec := &kgo.Record{Topic: r.topic}
	if hasKey {
		rec.Key = r.bytes(key)
	}
	rec.Value = r.bytes(rest)
	if hasHeaders && !r.isNull(headers) {
		rec.Headers, err = r.splitHeaders(headers)
	}
	return rec, err
}

// cut takes the part of rest before separator off, when enabled.
func (r *lineReader) cut(enabled bool, rest, line, separator, name string) (part, after string, found bool, err error) {
	if !enabled {
		return "", rest, false, nil
	}
	part, after, found = strings.Cut(rest, separator)
	if !found && !r.ignoreError {
		return "", "", false, fmt.Errorf("No %s found on line number %d: '%s'", name, r.line, line)
	}
	if !found {
		return "", rest, false, nil
	}
	return part, after, true, nil
}

// bytes is the value of a field: nil for the null marker, else never nil.
func (r *lineReader) bytes(s string) []byte {
	if r.isNull(s) {
		return nil
	}
	return append([]byte{}, s...)
}

func (r *lineReader) splitHeaders(text string) ([]kgo.RecordHeader, error) {
	var out []kgo.RecordHeader
	for _, pair := range r.headersSeparator.Split(text, -1) {
		name, value, found := strings.Cut(pair, r.headersKeySeparator)
		if !found {
			if r.ignoreError {
				out = append(out, kgo.RecordHeader{Key: pair})
				continue
			}
			return nil, fmt.Errorf("No header key separator found in pair '%s' on line number %d", pair, r.line)
		}
		if r.isNull(name) {
			return nil, fmt.Errorf("Header keys should not be equal to the null marker '%s' as they can't be null", r.nullMarker)
		}
		out = append(out, kgo.RecordHeader{Key: name, Value: r.bytes(value)})
	}
	return out, nil
}
