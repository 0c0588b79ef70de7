package console

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

// formatter prints one record. An error of a deserializer is its own; errors of the
// output stick to the writer.
type formatter interface {
	write(out *bufio.Writer, rec *kgo.Record) error
}

// newFormatter finds the formatter of a Java class name.
func newFormatter(class string, p cli.Props) (formatter, error) {
	switch class[strings.LastIndexByte(class, '.')+1:] {
	case "DefaultMessageFormatter":
		return newDefaultFormatter(p)
	case "NoOpMessageFormatter":
		return noFormatter{}, nil
	case "LoggingMessageFormatter":
		return newDefaultFormatter(p)
	}
	return nil, cli.Usagef("--formatter %s: only DefaultMessageFormatter, LoggingMessageFormatter and NoOpMessageFormatter exist (Java classes cannot be loaded)", class)
}

type noFormatter struct{}

func (noFormatter) write(*bufio.Writer, *kgo.Record) error { return nil }

// defaultFormatter prints the columns that are switched on, in Kafka's order, with
// key.separator between them and line.separator at the end.
type defaultFormatter struct {
	timestamp, partition, offset, delivery, epoch, headers, key, value bool
	keySeparator, lineSeparator, headersSeparator, nullLiteral         string
	keyFrom, valueFrom, headersFrom                                    deserializer
}

func newDefaultFormatter(p cli.Props) (*defaultFormatter, error) {
	f := &defaultFormatter{
		timestamp: p.Bool("print.timestamp"), partition: p.Bool("print.partition"), offset: p.Bool("print.offset"),
		delivery: p.Bool("print.delivery"), epoch: p.Bool("print.epoch"), headers: p.Bool("print.headers"), key: p.Bool("print.key"),
		value:        strings.EqualFold(strings.TrimSpace(p.Or("print.value", "true")), "true"),
		keySeparator: p.Or("key.separator", "\t"), lineSeparator: p.Or("line.separator", "\n"),
		headersSeparator: p.Or("headers.separator", ","), nullLiteral: p.Or("null.literal", "null"),
	}
	var err error
	for _, d := range []struct {
		to  *deserializer
		key string
	}{{&f.keyFrom, "key.deserializer"}, {&f.valueFrom, "value.deserializer"}, {&f.headersFrom, "headers.deserializer"}} {
		if *d.to, err = newDeserializer(p[d.key]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// row collects columns: every one but the last is followed by the key separator.
type row struct {
	out     *bufio.Writer
	f       *defaultFormatter
	started bool
}

func (r *row) column(text string) {
	if r.started {
		r.out.WriteString(r.f.keySeparator)
	}
	r.started = true
	r.out.WriteString(text)
}

func (f *defaultFormatter) write(out *bufio.Writer, rec *kgo.Record) error {
	headers, key, value, err := f.texts(rec)
	if err != nil {
		return err
	}
	r := &row{out: out, f: f}
	if f.timestamp {
		r.column(timestampText(rec))
	}
	if f.partition {
		r.column(fmt.Sprintf("Partition:%d", rec.Partition))
	}
	if f.offset {
		r.column(fmt.Sprintf("Offset:%d", rec.Offset))
	}
	if f.delivery {
		r.column("Delivery:NOT_PRESENT")
	}
	if f.epoch {
		if rec.LeaderEpoch < 0 {
			r.column("Epoch:NOT_PRESENT")
		} else {
			r.column(fmt.Sprintf("Epoch:%d", rec.LeaderEpoch))
		}
	}
	if f.headers {
		r.column(headers)
	}
	if f.key {
		r.column(key)
	}
	if f.value {
		r.column(value)
	}
	if r.started {
		out.WriteString(f.lineSeparator)
	}
	return nil
}

// texts deserializes first, so that a bad record prints nothing.
func (f *defaultFormatter) texts(rec *kgo.Record) (headers, key, value string, err error) {
	if f.headers {
		headers = "NO_HEADERS"
		var list []string
		for _, h := range rec.Headers {
			v, err := f.text(f.headersFrom, h.Value)
			if err != nil {
				return "", "", "", err
			}
			list = append(list, h.Key+":"+v)
		}
		if len(list) > 0 {
			headers = strings.Join(list, f.headersSeparator)
		}
	}
	if f.key {
		if key, err = f.text(f.keyFrom, rec.Key); err != nil {
			return "", "", "", err
		}
	}
	if f.value {
		value, err = f.text(f.valueFrom, rec.Value)
	}
	return headers, key, value, err
}

func (f *defaultFormatter) text(from deserializer, b []byte) (string, error) {
	if b == nil {
		return f.nullLiteral, nil
	}
	return from(b)
}

func timestampText(rec *kgo.Record) string {
	switch rec.Attrs.TimestampType() {
	case 0:
		return fmt.Sprintf("CreateTime:%d", rec.Timestamp.UnixMilli())
	case 1:
		return fmt.Sprintf("LogAppendTime:%d", rec.Timestamp.UnixMilli())
	}
	return "NO_TIMESTAMP"
}
