package flame

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

// Capture takes a profile of a server during the next whole seconds (at least one) through
// its admin port, HOST:PORT. Heap is taken at the end of them. An error is a *CaptureError,
// or ctx's, which ends the profile early and without a result.
func Capture(ctx context.Context, admin string, kind Kind, seconds float64) (*profile.Profile, error) {
	whole := max(1, int(seconds))
	if kind == Heap {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Duration(whole) * time.Second):
		}
	}
	u := url.URL{Scheme: "http", Host: admin, Path: kind.path(), RawQuery: kind.query(whole).Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, &CaptureError{admin, kind, err}
	}
	client := &http.Client{Timeout: time.Duration(whole+60) * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) && ctx.Err() == nil {
			err = wrapped.Err
		}
		return nil, &CaptureError{admin, kind, err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // what there is of it
		return nil, &CaptureError{admin, kind, fmt.Errorf("it answered %s: %s", resp.Status, strings.TrimSpace(string(text)))}
	}
	p, err := profile.Parse(resp.Body)
	if err != nil {
		return nil, &CaptureError{admin, kind, fmt.Errorf("no profile came back: %w", err)}
	}
	if p.DurationNanos == 0 {
		p.DurationNanos = int64(whole) * int64(time.Second)
	}
	return p, nil
}

func (k Kind) path() string {
	switch k {
	case CPU:
		return "/debug/pprof/profile"
	case Wall, OffCPU:
		return "/debug/fgprof"
	default:
		return "/debug/pprof/" + string(k)
	}
}

func (k Kind) query(seconds int) url.Values {
	q := url.Values{}
	if k != Heap {
		q.Set("seconds", strconv.Itoa(seconds))
	}
	return q
}

// CaptureError is a profile that could not be taken.
type CaptureError struct {
	Admin string
	Kind  Kind
	Err   error
}

func (e *CaptureError) Error() string {
	return fmt.Sprintf("%s profile from the admin port %s: %v (Millrace's is set by admin.listener)", e.Kind, e.Admin, e.Err)
}

// Unwrap returns the cause.
func (e *CaptureError) Unwrap() error { return e.Err }
