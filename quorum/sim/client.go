package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

// Client is one user: a session, or one after the other, that does random things. What it sees
// is written down in the order in which it comes.
type Client struct {
	w     *World
	id    int
	host  string
	rng   *rand.Rand
	clock *hostClock

	stop chan struct{}
	done chan struct{}

	mu       sync.Mutex
	c        *client.Client
	lives    []*life
	values   int
	open     int // calls without an answer
	watchers int
}

// life is one session of a client.
type life struct {
	client    int
	session   int64
	timeout   time.Duration
	started   time.Time
	events    []event // in the order in which they came
	ops       []*op
	closed    bool // by the client, acknowledged
	closing   bool // by the client, no answer
	abandoned bool
	expired   bool
	next      *life     // that went on with the session, elsewhere
	lastWord  time.Time // when the last reply came
	breaks    int       // of the connection
}

// opKind is what a client asks for.
type opKind int

const (
	opSet opKind = iota
	opCreate
	opDelete
	opGet
	opExists
	opSyncGet
	opMultiSet
	opEphemeral
	opDropEphemeral
	opAddWatch
)

// op is one request and what became of it.
type op struct {
	kind    opKind
	path    string
	path2   string // opMultiSet
	value   string
	version int32 // asked for
	watch   *watch

	sent       time.Time
	connection int   // counts those of the life
	call, ret  int64 // by World.now; ret 0: no answer yet
	code       jute.Code
	unknown    bool // the connection broke, and it had been sent
	dropped    bool // it was not sent
	zxid       int64
	data       string
	stat       jute.Stat
}

// watch is one that was asked for.
type watch struct {
	path      string
	recursive bool
	exists    bool // by opExists
}

// event is something that came to the client.
type event struct {
	kind  eventKind
	op    *op // a reply
	zxid  int64
	watch *watch // an event of it
	typ   jute.EventType
	path  string
	state client.State
	at    time.Time
}

type eventKind int

const (
	gotReply eventKind = iota
	gotError           // a reply with a code
	gotEvent
	gotState
)

// keys are the registers that clients share.
var keys = []string{"/k0", "/k1", "/k2", "/k3"}

const maxOpen = 6

// addClient makes a client that works until stopped.
func (w *World) addClient() *Client {
	c := &Client{w: w, id: len(w.clients) + 1, stop: make(chan struct{}), done: make(chan struct{}), rng: w.rand(), clock: newHostClock()}
	c.host = fmt.Sprintf("10.0.1.%d", c.id)
	w.clients = append(w.clients, c)
	w.tasks.Go(c.run)
	return c
}

// run works, and takes a new session when one has ended.
func (c *Client) run() {
	defer close(c.done)
	var before *life
	for {
		l := c.connect(before)
		before = nil
		if c.work(l) {
			before = l
		}
		select {
		case <-c.stop:
			return
		default:
		}
	}
}

// connect starts a session, or goes on with that of another life.
func (c *Client) connect(before *life) *life {
	l := &life{client: c.id, started: time.Now()}
	var session *client.Session
	if before != nil {
		s := c.c.Session()
		session, l.session, l.timeout = &s, before.session, before.timeout
	}
	host := c.w.net.Host(c.host)
	c.mu.Lock() // onState waits until c.c is the one that it is about
	defer c.mu.Unlock()
	z, err := client.New(client.Config{
		Servers: connectString(), SessionTimeout: c.w.o.SessionTimeout, Dial: host.Dial, Clock: c.clock,
		Rand: c.w.rand(), Log: c.w.o.Log.With("client", c.id),
		Session: session, OnState: func(s client.State) { c.onState(l, s) },
	})
	if err != nil {
		panic(err) // a bug of this package
	}
	if before != nil {
		before.next = l
	}
	c.c = z
	c.open = 0
	c.lives = append(c.lives, l)
	return l
}

func (c *Client) onState(l *life, s client.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.events = append(l.events, event{kind: gotState, state: s, at: time.Now()})
	if s == client.Connected {
		l.session, l.timeout = c.c.Session().ID, c.c.SessionTimeout()
		l.lastWord = time.Now()
	}
	if s != client.Connected {
		l.breaks++
	}
	if s == client.Expired {
		l.expired = true
	}
}

// work sends requests until the session or the client ends. It tells whether another life is to
// go on with the session.
func (c *Client) work(l *life) (again bool) {
	for {
		pause := time.Duration(c.rng.IntN(int(c.w.o.Tick / 2)))
		if c.rng.IntN(30) == 0 {
			pause = c.w.o.SessionTimeout / 2
		}
		select {
		case <-c.stop:
			return false
		case <-time.After(pause):
		}
		if c.c.State().Final() {
			return false
		}
		c.mu.Lock()
		room := maxOpen - c.open
		c.mu.Unlock()
		for range min(room, 1+c.rng.IntN(3)) {
			c.send(l)
		}
		switch c.rng.IntN(200) {
		case 0, 1:
			return c.leave(l)
		case 2:
			c.end(l)
			return false
		}
	}
}

// leave lets the connection go and keeps the session, as a client that dies does. It tells
// whether somebody is to go on with it at once.
func (c *Client) leave(l *life) bool {
	again := c.rng.IntN(3) > 0
	c.mu.Lock()
	l.abandoned = true
	again = again && l.session != 0
	c.mu.Unlock()
	c.c.Abandon()
	return again
}

// end closes the session.
func (c *Client) end(l *life) {
	c.mu.Lock()
	l.closing = true
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), c.w.o.SessionTimeout)
	defer cancel()
	err := c.c.Close(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	l.closed = err == nil
}

// abandon ends the client's work, and its connection.
func (c *Client) abandon() {
	c.halt()
	c.c.Abandon()
}

// halt ends the client's work.
func (c *Client) halt() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	<-c.done
}

// send makes one random request.
func (c *Client) send(l *life) {
	key := keys[c.rng.IntN(len(keys))]
	o := &op{path: key, version: -1}
	if n := len(l.ops); c.rng.IntN(4) == 0 && n > 0 {
		// The version of something that was seen, which is perhaps still right.
		c.mu.Lock()
		if last := l.ops[n-1]; last.ret != 0 {
			o.version = last.stat.Version
		}
		c.mu.Unlock()
	}
	switch n := c.rng.IntN(40); {
	case n < 9:
		o.kind, o.value = opSet, c.value()
	case n < 12:
		o.kind, o.value = opCreate, c.value()
	case n < 13:
		o.kind = opDelete
	case n < 20:
		o.kind = opGet
		if c.rng.IntN(2) == 0 {
			o.watch = &watch{path: key}
		}
	case n < 23:
		o.kind = opExists
		if c.rng.IntN(2) == 0 {
			o.watch = &watch{path: key, exists: true}
		}
	case n < 29:
		o.kind = opSyncGet
	case n < 32:
		o.kind, o.value, o.path2 = opMultiSet, c.value(), keys[(c.rng.IntN(len(keys)))]
		if o.path2 == o.path {
			o.kind = opSet
		}
		o.version = -1
	case n < 37:
		o.kind, o.value = opEphemeral, c.value()
		o.path = fmt.Sprintf("/e%d-%d", c.id, c.rng.IntN(5))
	case n < 39:
		o.kind, o.version = opDropEphemeral, -1
		o.path = fmt.Sprintf("/e%d-%d", c.id, c.rng.IntN(5))
	default:
		c.mu.Lock()
		c.watchers++
		n := c.watchers
		c.mu.Unlock()
		if n > 2 {
			o.kind = opGet
			break
		}
		o.kind, o.path = opAddWatch, "/"
		o.watch = &watch{path: "/", recursive: true}
	}
	c.request(l, o)
}

// value is one that nobody else writes.
func (c *Client) value() string {
	c.values++
	return fmt.Sprintf("c%d.%d", c.id, c.values)
}

// request sends o.
func (c *Client) request(l *life, o *op) {
	q := &client.Request{Path: o.path, Data: []byte(o.value), Version: o.version}
	switch o.kind {
	case opSet:
		q.Op = jute.OpSetData
	case opCreate:
		q.Op, q.Mode = jute.OpCreate2, jute.Persistent
	case opEphemeral:
		q.Op, q.Mode = jute.OpCreate2, jute.Ephemeral
	case opDelete, opDropEphemeral:
		q.Op = jute.OpDelete
	case opGet, opSyncGet:
		q.Op = jute.OpGetData
	case opExists:
		q.Op = jute.OpExists
	case opMultiSet:
		q.Op = jute.OpMulti
		for _, path := range []string{o.path, o.path2} {
			q.Ops = append(q.Ops, jute.MultiOp{Type: jute.OpSetData, Path: path, Data: []byte(o.value), Version: -1})
		}
	case opAddWatch:
		q.Op, q.AddMode = jute.OpAddWatch, jute.WatchPersistentRecursive
	}
	if w := o.watch; w != nil {
		q.Watch = func(e client.Event) { c.onEvent(l, w, e) }
	}
	c.mu.Lock()
	l.ops = append(l.ops, o)
	c.open++
	o.call, o.sent, o.connection = c.w.now(), time.Now(), l.breaks
	z := c.c
	c.mu.Unlock()
	var synced error
	if o.kind == opSyncGet {
		if err := z.Send(&client.Request{Op: jute.OpSync, Path: o.path}, func(_ *client.Reply, err error) { synced = err }); err != nil {
			c.answer(l, o, nil, err)
			return
		}
	}
	err := z.Send(q, func(p *client.Reply, err error) {
		if synced != nil && err == nil {
			o.kind = opGet // a read that no sync stands before
		}
		c.answer(l, o, p, err)
	})
	if err != nil {
		c.answer(l, o, nil, err)
	}
}

// answer writes down what a request gave. It is called by the client's one goroutine, in the
// order of the wire, unless nothing was sent.
func (c *Client) answer(l *life, o *op, p *client.Reply, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	o.ret = c.w.now()
	o.code = client.CodeOf(err)
	var e *client.Error
	if errors.As(err, &e) {
		switch e.Code {
		case jute.ConnectionLoss, jute.OperationTimeout, jute.SessionExpired, jute.SystemError:
			// An expired session's last requests have an unknown outcome as well.
			o.unknown = e.Sent || e.Code == jute.SessionExpired
			o.dropped = !o.unknown
			return
		case jute.SessionMoved:
			o.unknown = true
			return
		}
	}
	kind := gotReply
	if p != nil {
		o.zxid, o.data, o.stat = p.Zxid, string(p.Data), p.Stat
	}
	if err != nil {
		kind = gotError
		o.zxid = c.c.LastZxid()
	}
	l.lastWord = time.Now()
	l.events = append(l.events, event{kind: kind, op: o, zxid: o.zxid, at: time.Now()})
}

func (c *Client) onEvent(l *life, w *watch, e client.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Type == jute.EventNone {
		return
	}
	l.events = append(l.events, event{kind: gotEvent, watch: w, typ: e.Type, path: e.Path, at: time.Now()})
}
