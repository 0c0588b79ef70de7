package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
)

// process drives a client of another language through a program under drivers/ that
// reads one JSON command a line and answers with JSON lines: any number of {"ready":true}
// before one {"error":...} or {"records":[...]}. One program serves one producer or all
// admin and consumer calls of a driver.
type process struct {
	name    string
	can     Abilities
	argv    []string
	bootstr string
	admin   *pipe
}

type command struct {
	Op         string            `json:"op"`
	Bootstrap  string            `json:"bootstrap,omitempty"`
	Topic      string            `json:"topic,omitempty"`
	Partitions int               `json:"partitions,omitempty"`
	Config     map[string]string `json:"config,omitempty"`
	Codec      string            `json:"codec,omitempty"`
	Idempotent bool              `json:"idempotent,omitempty"`
	Records    []Rec             `json:"records,omitempty"`
	End        bool              `json:"end,omitempty"`
	Timestamp  int64             `json:"timestamp,omitempty"`
	Count      int               `json:"count,omitempty"`
}

type answer struct {
	Ready   bool   `json:"ready"`
	Error   string `json:"error"`
	Records []Rec  `json:"records"`
}

// pipe is one running program; a call owns it until the answer came.
type pipe struct {
	mu  sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newProcess(name string, can Abilities, bootstrap string, argv ...string) (Driver, error) {
	d := &process{name: name, can: can, argv: argv, bootstr: bootstrap}
	var err error
	d.admin, err = d.start()
	return d, err
}

func (d *process) start() (*pipe, error) {
	cmd := exec.Command(d.argv[0], d.argv[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %v: %w", d.argv, err)
	}
	p := &pipe{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<20)}
	_, err = p.call(context.Background(), command{Op: "connect", Bootstrap: d.bootstr}, nil)
	return p, err
}

func (p *pipe) call(ctx context.Context, c command, ready func()) ([]Rec, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	defer stop()
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Op, errors.Join(err, ctx.Err()))
	}
	for {
		text, err := p.out.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("%s: the client's program ended: %w", c.Op, errors.Join(err, ctx.Err()))
		}
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			return nil, fmt.Errorf("%s: answer %.200q: %w", c.Op, text, err)
		}
		switch {
		case a.Ready:
			if ready != nil {
				ready()
			}
		case a.Error != "":
			return nil, errors.New(a.Error)
		default:
			return a.Records, nil
		}
	}
}

func (p *pipe) close() error {
	if err := p.in.Close(); err != nil {
		return err
	}
	return p.cmd.Wait()
}

func (d *process) Name() string   { return d.name }
func (d *process) Can() Abilities { return d.can }
func (d *process) Close() error   { return d.admin.close() }

func (d *process) CreateTopic(ctx context.Context, topic string, partitions int, config map[string]string) error {
	_, err := d.admin.call(ctx, command{Op: "create", Topic: topic, Partitions: partitions, Config: config}, nil)
	return err
}

func (d *process) DeleteTopic(ctx context.Context, topic string) error {
	_, err := d.admin.call(ctx, command{Op: "delete", Topic: topic}, nil)
	return err
}

func (d *process) NewProducer(ctx context.Context, o ProducerOptions) (Producer, error) {
	p, err := d.start()
	if err != nil {
		return nil, err
	}
	if _, err := p.call(ctx, command{Op: "producer", Codec: o.Codec, Idempotent: o.Idempotent}, nil); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return &processProducer{p}, nil
}

type processProducer struct{ p *pipe }

func (p *processProducer) Send(ctx context.Context, topic string, recs []Rec) error {
	_, err := p.p.call(ctx, command{Op: "send", Topic: topic, Records: recs}, nil)
	return err
}

func (p *processProducer) Close() error { return p.p.close() }

func (d *process) Consume(ctx context.Context, topic string, from From, count int, ready func()) ([]Rec, error) {
	return d.admin.call(ctx, command{Op: "consume", Topic: topic, End: from.End, Timestamp: from.TimestampMs, Count: count}, ready)
}
