package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// kcat is Debian's kcat 1.7 (librdkafka 2.0), one process a call. It cannot create or
// delete topics, and its records are text: a tab parts key and value, a newline records.
type kcat struct{ bootstrap string }

func newKcat(bootstrap string) (Driver, error) {
	if _, err := exec.LookPath("kcat"); err != nil {
		return nil, err
	}
	return &kcat{bootstrap}, nil
}

func (d *kcat) Name() string { return "kcat" }

func (d *kcat) Can() Abilities {
	return Abilities{
		Codecs: []string{"none", "gzip", "snappy", "lz4", "zstd"}, Idempotent: true, Headers: true, NullKeys: true, NullValues: true,
		ByTimestamp: true, Survives: true,
	}
}

func (d *kcat) CreateTopic(context.Context, string, int, map[string]string) error {
	return errors.ErrUnsupported
}

func (d *kcat) DeleteTopic(context.Context, string) error { return errors.ErrUnsupported }

func (d *kcat) Close() error { return nil }

func (d *kcat) NewProducer(_ context.Context, o ProducerOptions) (Producer, error) {
	return &kcatProducer{d, o}, nil
}

type kcatProducer struct {
	d *kcat
	o ProducerOptions
}

// Send starts one kcat for each run of records with equal topics and headers, options of
// the process. A zero exit means that every record was acknowledged.
func (p *kcatProducer) Send(ctx context.Context, topic string, recs []Rec) error {
	for len(recs) > 0 {
		n := 1
		for n < len(recs) && recs[n].Topic == recs[0].Topic && fmt.Sprint(recs[n].Headers) == fmt.Sprint(recs[0].Headers) {
			n++
		}
		if err := p.send(ctx, recs[0].in(topic), recs[:n]); err != nil {
			return err
		}
		recs = recs[n:]
	}
	return nil
}

func (p *kcatProducer) send(ctx context.Context, topic string, recs []Rec) error {
	args := []string{
		"-P", "-b", p.d.bootstrap, "-t", topic, "-p", "0", "-z", p.o.Codec, "-K", "\t", "-Z",
		"-X", "acks=all", "-X", "enable.idempotence=" + strconv.FormatBool(p.o.Idempotent), "-X", "message.max.bytes=1000000",
	}
	for _, h := range recs[0].Headers {
		args = append(args, "-H", h.Key+"="+string(h.Value))
	}
	var in bytes.Buffer
	for _, r := range recs {
		fmt.Fprintf(&in, "%s\t%s\n", r.Key, r.Value)
	}
	_, err := run(ctx, &in, args...)
	return err
}

func (p *kcatProducer) Close() error { return nil }

func run(ctx context.Context, in io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "kcat", args...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("kcat %s: %w: %s", strings.Join(args[:min(len(args), 5)], " "), err, errs.String())
	}
	return out, nil
}

func (d *kcat) Consume(ctx context.Context, topic string, from From, count int, ready func()) ([]Rec, error) {
	start := "beginning"
	switch {
	case from.End:
		out, err := run(ctx, nil, "-Q", "-b", d.bootstrap, "-t", topic+":0:-1")
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(strings.TrimSpace(string(out)))
		if len(fields) < 1 {
			return nil, fmt.Errorf("kcat -Q said %q", out)
		}
		start = fields[len(fields)-1]
	case from.TimestampMs != 0:
		start = "s@" + strconv.FormatInt(from.TimestampMs, 10)
	}
	ready()
	out, err := run(ctx, nil, "-C", "-b", d.bootstrap, "-t", topic, "-p", "0", "-o", start, "-c", strconv.Itoa(count), "-J", "-q")
	if err != nil {
		return nil, err
	}
	var recs []Rec
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct {
			Offset  int64
			TS      int64
			Key     *string
			Payload *string
			Headers []string
		}
		if err := dec.Decode(&m); err == io.EOF {
			return recs, nil
		} else if err != nil {
			return recs, fmt.Errorf("kcat's JSON: %w", err)
		}
		r := Rec{Offset: m.Offset, TimestampMs: m.TS}
		if m.Key != nil {
			r.Key = []byte(*m.Key)
		}
		if m.Payload != nil {
			r.Value = []byte(*m.Payload)
		}
		for i := 0; i+1 < len(m.Headers); i += 2 {
			r.Headers = append(r.Headers, Header{Key: m.Headers[i], Value: []byte(m.Headers[i+1])})
		}
		recs = append(recs, r)
	}
}
