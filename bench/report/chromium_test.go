package report

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// chromium is a browser without a window, driven through a pipe by the DevTools protocol:
// one page at a time, of any width, and what it logged and asked the network for.
type chromium struct {
	t        *testing.T
	in       *os.File
	messages chan message
	id       int
	session  string
	Errors   []string // console errors, exceptions
	Requests []string // addresses that the page asked for
}

// message is an answer (ID) or an event (Method).
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// openChromium starts it, or skips the test where there is none.
func openChromium(t *testing.T) *chromium {
	t.Helper()
	path := ""
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); name != "" && err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no chromium on the PATH and none named by CHROMIUM: apt-get install chromium")
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--hide-scrollbars",
		"--disable-background-networking", "--remote-debugging-pipe", "--user-data-dir="+profile(t), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // descriptors 3 and 4
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	c := &chromium{t: t, in: in, messages: make(chan message, 1024)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(c.messages)
		c.read(out)
	}()
	t.Cleanup(func() {
		c.send("", "Browser.close", nil)
		in.Close()
		for range c.messages { // let the reader come to its end
		}
		<-read
		out.Close()
		if err := cmd.Wait(); err != nil {
			t.Logf("%s ended: %v\n%s", path, err, log.String())
		}
	})
	var target struct{ TargetID string }
	c.call(&target, "Target.createTarget", map[string]any{"url": "about:blank"})
	var attached struct{ SessionID string }
	c.call(&attached, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true})
	c.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		c.call(nil, domain+".enable", nil)
	}
	c.call(nil, "Page.setLifecycleEventsEnabled", map[string]any{"enabled": true})
	return c
}

// profile is a folder for the browser. Its helpers may outlive it for a moment and write there.
func profile(t *testing.T) string {
	dir, err := os.MkdirTemp("", "millrace-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		testkit.WaitFor(t, "the browser's folder to go", func() bool { return os.RemoveAll(dir) == nil })
	})
	return dir
}

// read hands on messages, which end with a zero byte each.
func (c *chromium) read(out *os.File) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		b, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(b[:len(b)-1], &m) == nil {
			c.messages <- m
		}
	}
}

func (c *chromium) send(session, method string, params any) {
	c.id++
	m := map[string]any{"id": c.id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if session != "" {
		m["sessionId"] = session
	}
	b, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	// A browser that is gone already is no failure of its own: its answer is missed.
	_, _ = c.in.Write(append(b, 0))
}

// call sends a command and decodes its answer into result.
func (c *chromium) call(result any, method string, params any) {
	c.t.Helper()
	c.send(c.session, method, params)
	id := c.id
	m := c.wait(method, func(m message) bool { return m.ID == id })
	if m.Error != nil {
		c.t.Fatalf("%s: %s", method, m.Error.Message)
	}
	if result != nil {
		if err := json.Unmarshal(m.Result, result); err != nil {
			c.t.Fatalf("%s: %v", method, err)
		}
	}
}

// wait takes messages until one is wanted, and keeps what tells of errors.
func (c *chromium) wait(what string, wanted func(message) bool) message {
	c.t.Helper()
	deadline := time.NewTimer(testkit.Patience)
	defer deadline.Stop()
	for {
		select {
		case m, ok := <-c.messages:
			if !ok {
				c.t.Fatalf("%s: the browser ended", what)
			}
			c.note(m)
			if wanted(m) {
				return m
			}
		case <-deadline.C:
			c.t.Fatalf("%s: no answer from the browser in %v", what, testkit.Patience)
		}
	}
}

func (c *chromium) note(m message) {
	switch m.Method {
	case "Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled":
		// The tests read pixels back more often than a page would.
		if text := string(m.Params); !strings.Contains(text, "willReadFrequently") {
			c.Errors = append(c.Errors, text)
		}
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		_ = json.Unmarshal(m.Params, &p)
		c.Requests = append(c.Requests, p.Request.URL)
	}
}

// open shows the file at path in a window of so many CSS pixels, and forgets what was told
// of the page before.
func (c *chromium) open(path string, width int, dark bool) {
	c.t.Helper()
	c.Errors, c.Requests = nil, nil
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	c.call(nil, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false})
	c.call(nil, "Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}})
	c.send(c.session, "Page.navigate", map[string]any{"url": "file://" + path})
	// The page that was shown before may tell late that it is loaded.
	id, loader, loaded := c.id, "", map[string]bool{}
	c.wait("load "+path, func(m message) bool {
		var told struct{ LoaderID, Name string }
		decode := func(raw json.RawMessage) {
			if err := json.Unmarshal(raw, &told); err != nil {
				c.t.Fatalf("load %s: %v in %s", path, err, raw)
			}
		}
		switch {
		case m.ID == id && m.Error != nil:
			c.t.Fatalf("load %s: %s", path, m.Error.Message)
		case m.ID == id:
			decode(m.Result)
			loader = told.LoaderID
		case m.Method == "Page.lifecycleEvent":
			decode(m.Params)
			loaded[told.LoaderID] = loaded[told.LoaderID] || told.Name == "load"
		}
		return loader != "" && loaded[loader]
	})
}

// eval returns what a JavaScript expression is, promises awaited.
func (c *chromium) eval(result any, expression string) {
	c.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	c.call(&answer, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true})
	if len(answer.ExceptionDetails) > 0 {
		c.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result.Value, result); err != nil {
			c.t.Fatalf("%s: %v", expression, err)
		}
	}
}

// move puts the mouse over the middle of the first element that selector finds.
func (c *chromium) move(selector string) {
	c.t.Helper()
	var at struct{ X, Y float64 }
	c.eval(&at, fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.scrollIntoView({block: "center"}); const r = e.getBoundingClientRect(); return {X: r.x + r.width / 2, Y: r.y + r.height / 2}; })()`, selector))
	for _, by := range []float64{-3, 0} { // the second is a move within
		c.call(nil, "Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": at.X + by, "y": at.Y})
	}
}

// pictureHeight is how much of a page one picture holds: more, and viewers scale it down
// until nothing can be read.
const pictureHeight = 1800

// pictures writes the whole page as PNGs, path-0.png, path-1.png and so on from its top.
func (c *chromium) pictures(path string, width int) {
	c.t.Helper()
	var height int
	c.eval(&height, "document.documentElement.scrollHeight")
	for i := range (height + pictureHeight - 1) / pictureHeight {
		clip := map[string]any{"x": 0, "y": i * pictureHeight, "width": width, "height": min(pictureHeight, height-i*pictureHeight), "scale": 1}
		var answer struct{ Data string }
		c.call(&answer, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true, "clip": clip})
		b, err := base64.StdEncoding.DecodeString(answer.Data)
		if err == nil {
			err = os.WriteFile(fmt.Sprintf("%s-%d.png", path, i), b, 0o644)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// foreign are the requests that went elsewhere than to the page itself.
func (c *chromium) foreign() []string {
	var out []string
	for _, r := range c.Requests {
		if !strings.HasPrefix(r, "file://") {
			out = append(out, r)
		}
	}
	return out
}
