package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostAnswer bounds what is read of an answer of the admin port.
const mostAnswer = 64 << 20

// adminAddress is where the admin port should be: as told, or what the settings say when
// that can be this machine.
func (o *options) adminAddress(f *facts) string {
	if o.given("admin") {
		return o.admin
	}
	if f.config == nil {
		return ""
	}
	at := f.config.values["admin.listener"]
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return ""
	}
	kafka, _, _ := net.SplitHostPort(strings.Split(o.bootstrap, ",")[0])
	ip := net.ParseIP(host)
	switch {
	case host == "" || ip != nil && ip.IsUnspecified():
		return net.JoinHostPort(kafka, port)
	case isLoopback(host) && !isLoopback(kafka):
		return ""
	}
	return at
}

// gatherAdmin asks the admin port for health, figures and the time.
func (o *options) gatherAdmin(ctx context.Context, f *facts) {
	at := o.adminAddress(f)
	if at == "" {
		f.skipped["cleaner"] = "the admin port is not known: --admin HOST:PORT"
		f.skipped["limits"], f.skipped["clock"], f.skipped["disk"] = f.skipped["cleaner"], f.skipped["cleaner"], f.skipped["cleaner"]+", or name the broker's server.properties"
		return
	}
	before := time.Now()
	figures, head, err := get(ctx, "http://"+at+"/metrics")
	took := time.Since(before)
	if err != nil {
		why := fmt.Sprintf("the admin port %s does not answer: %v", at, err)
		f.skipped["cleaner"], f.skipped["limits"], f.skipped["clock"], f.skipped["disk"] = why, why, why, why
		return
	}
	o.takeFigures(f, parseFigures(string(figures)))
	// A slow answer says nothing about the time.
	if date, err := http.ParseTime(head.Get("Date")); err == nil && took < time.Second {
		// The header has whole seconds, cut off: half of one is the best guess.
		f.clock = &clockFacts{skew: date.Add(500 * time.Millisecond).Sub(before.Add(took / 2)), skewKnown: true}
	}
	if text, _, err := get(ctx, "http://"+at+"/healthz"); err == nil {
		takeHealth(f, text)
	}
}

func get(ctx context.Context, url string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return text, resp.Header, err
}

// figure is one line of /metrics.
type figure struct {
	name   string
	labels map[string]string
	value  float64
}

// parseFigures reads Prometheus's text form as far as it is used here.
func parseFigures(text string) []figure {
	var out []figure
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		if i < 0 {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			continue
		}
		name, rest, _ := strings.Cut(line[:i], "{")
		out = append(out, figure{name, parseLabels(strings.TrimSuffix(rest, "}")), v})
	}
	return out
}

// parseLabels reads a="b",c="d"; values may hold escaped quotes.
func parseLabels(text string) map[string]string {
	out := map[string]string{}
	for text != "" {
		name, rest, ok := strings.Cut(text, `="`)
		if !ok {
			break
		}
		end := 0
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(rest) {
			break
		}
		out[name] = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n").Replace(rest[:end])
		text = strings.TrimPrefix(rest[end+1:], ",")
	}
	return out
}

func (o *options) takeFigures(f *facts, figures []figure) {
	f.process = &processFacts{whose: "the broker"}
	f.cleaner = &cleanerFacts{}
	seconds := map[string]float64{}
	for _, g := range figures {
		switch {
		case g.name == "process_open_fds":
			f.process.openFiles = g.value
		case g.name == "process_max_fds":
			f.process.maxFDs = g.value
		case g.name == "millrace_partitions":
			f.process.partitions = int(g.value)
		case g.name == "millrace_group_lag_seconds":
			seconds[g.labels["group"]] = max(seconds[g.labels["group"]], g.value)
		case g.name == "millrace_cleaner_uncleanable" && g.value > 0:
			f.cleaner.uncleanable = append(f.cleaner.uncleanable, g.labels["topic"]+"-"+g.labels["partition"])
		}
	}
	slices.Sort(f.cleaner.uncleanable)
	for i := range f.groups {
		if s, ok := seconds[f.groups[i].name]; ok {
			f.groups[i].seconds = s
		}
	}
}

// takeHealth takes the state of the log directories: from the broker itself, so also of a
// machine that is not this one.
func takeHealth(f *facts, text []byte) {
	var health struct {
		LogDirs []struct {
			Path       string `json:"path"`
			Online     bool   `json:"online"`
			Error      string `json:"error"`
			TotalBytes int64  `json:"totalBytes"`
			FreeBytes  int64  `json:"freeBytes"`
		} `json:"logDirs"`
	}
	if json.Unmarshal(text, &health) != nil {
		return
	}
	for _, d := range health.LogDirs {
		i := slices.IndexFunc(f.dirs, func(have dirFacts) bool { return have.path == d.Path })
		if i < 0 {
			f.dirs = append(f.dirs, dirFacts{path: d.Path})
			i = len(f.dirs) - 1
		}
		f.dirs[i].total, f.dirs[i].free = d.TotalBytes, d.FreeBytes
		if !d.Online {
			f.dirs[i].err = d.Error
			if d.Error == "" {
				f.dirs[i].err = "it is offline"
			}
		}
	}
}
