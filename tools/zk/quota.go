package zk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

// Where quotas are (Quotas.java).
const (
	quotaRoot   = "/zookeeper/quota"
	limitsNode  = "zookeeper_limits"
	statsNode   = "zookeeper_stats"
	countKey    = "count"
	bytesKey    = "bytes"
	countMaxKey = "countHardLimit"
	bytesMaxKey = "byteHardLimit"
)

// track is the text of a quota, or of what is used of it (StatsTrack.java).
type track map[string]int64

func parseTrack(data []byte) (track, error) {
	t := track{}
	for _, pair := range strings.FieldsFunc(string(data), func(r rune) bool { return r == ',' || r == ';' }) {
		kv := strings.Split(pair, "=")
		if len(kv) < 2 {
			return nil, fmt.Errorf("quota %q: %q is no key=value", data, pair)
		}
		n, err := strconv.ParseInt(kv[1], 10, 64)
		if err != nil && kv[1] != "" {
			return nil, fmt.Errorf("quota %q: %w", data, err)
		}
		if err != nil {
			n = -1
		}
		t[kv[0]] = n
	}
	return t, nil
}

// get is a value, -1 when there is none.
func (t track) get(key string) int64 {
	if v, ok := t[key]; ok {
		return v
	}
	return -1
}

// String writes count and bytes first, and a second = before what ZooKeeper 3.4 does not
// know, which its parser passes over then.
func (t track) String() string {
	s := fmt.Sprintf("count=%d,bytes=%d", t.get(countKey), t.get(bytesKey))
	var others []string
	for key, v := range t {
		if key != countKey && key != bytesKey {
			others = append(others, fmt.Sprintf(";%s=%d", key, v))
		}
	}
	if len(others) == 0 {
		return s
	}
	slices.Sort(others)
	return s + "=" + strings.Join(others, "")
}

// option is what setquota was asked for, as a track with the rest -1. ok is false when it was
// told what is wrong.
func quotaOption(s *shell, p *parsed) (t track, ok bool) {
	t = track{countKey: -1, bytesKey: -1, countMaxKey: -1, bytesMaxKey: -1}
	for _, o := range []struct {
		name, key string
		bits      int
	}{{"n", countKey, 32}, {"b", bytesKey, 64}, {"N", countMaxKey, 32}, {"B", bytesMaxKey, 64}} {
		text, given := p.values[o.name]
		if !given {
			continue
		}
		n, err := strconv.ParseInt(text, 10, o.bits)
		switch {
		case err != nil:
			fmt.Fprintln(s.errs, "NumberFormatException happens when parsing the option value")
			return nil, false
		case o.bits == 32 && n <= 0:
			fmt.Fprintln(s.errs, "the num quota must be greater than zero")
			return nil, false
		case n < 0:
			fmt.Fprintln(s.errs, "the bytes quota must be greater than or equal to zero")
			return nil, false
		}
		t[o.key] = n
	}
	return t, true
}

func setQuota(ctx context.Context, s *shell, p *parsed) error {
	path := p.words[1]
	if strings.HasPrefix(path, quotaRoot) {
		fmt.Fprintln(s.errs, "cannot set a quota under the path: "+quotaRoot)
		return nil
	}
	quota, ok := quotaOption(s, p)
	if !ok {
		return nil
	}
	there, _, err := s.zk.Exists(ctx, path)
	if err != nil {
		return explain(err)
	}
	if !there {
		return failure(path + " does not exist.")
	}
	if err := noQuotaBelow(ctx, s.zk, path); err != nil {
		return explain(err)
	}
	if err := noQuotaAbove(ctx, s.zk, path); err != nil {
		return explain(err)
	}
	return explain(s.writeQuota(ctx, path, quota))
}

// writeQuota makes the nodes of a quota, or changes it.
func (s *shell) writeQuota(ctx context.Context, path string, quota track) error {
	at := quotaRoot
	if err := s.ensure(ctx, "/zookeeper", nil); err != nil {
		return err
	}
	if err := s.ensure(ctx, at, nil); err != nil {
		return err
	}
	for _, name := range strings.Split(path, "/")[1:] {
		if name == "" {
			continue
		}
		at += "/" + name
		if err := s.ensure(ctx, at, nil); err != nil {
			return err
		}
	}
	limits, stats := at+"/"+limitsNode, at+"/"+statsNode
	there, _, err := s.zk.Exists(ctx, limits)
	if err != nil {
		return err
	}
	if !there {
		if _, err := s.zk.Create(ctx, limits, []byte(quota.String()), nil, jute.Persistent); err != nil {
			return err
		}
		if _, err := s.zk.Create(ctx, stats, []byte(track{countKey: 0, bytesKey: 0}.String()), nil, jute.Persistent); err != nil {
			return err
		}
	}
	now, err := s.track(ctx, limits)
	if err != nil {
		return err
	}
	for key, v := range quota {
		if v > -1 {
			now[key] = v
		}
	}
	used, err := s.track(ctx, stats)
	if err != nil {
		return err
	}
	s.warnQuota(now, used)
	if there {
		_, err = s.zk.Set(ctx, limits, []byte(now.String()), -1)
	}
	return err
}

func (s *shell) track(ctx context.Context, path string) (track, error) {
	data, _, err := s.zk.Get(ctx, path)
	if err != nil {
		return nil, err
	}
	return parseTrack(data)
}

// ensure makes a node that is not there.
func (s *shell) ensure(ctx context.Context, path string, data []byte) error {
	there, _, err := s.zk.Exists(ctx, path)
	if there || err != nil {
		return err
	}
	_, err = s.zk.Create(ctx, path, data, nil, jute.Persistent)
	if errors.Is(err, jute.NodeExists) {
		return nil
	}
	return err
}

// warnQuota tells of a quota that is used up already.
func (s *shell) warnQuota(quota, used track) {
	for _, q := range []struct{ key, hard, word string }{{countKey, countMaxKey, "count"}, {bytesKey, bytesMaxKey, "bytes"}} {
		for _, key := range []string{q.key, q.hard} {
			if limit := quota.get(key); limit > -1 && limit < used.get(q.key) {
				fmt.Fprintf(s.out, "[Warning]: the %s quota you create is less than the existing %s:%d\n", q.word, q.word, used.get(q.key))
				break
			}
		}
	}
}

// noQuotaBelow fails when a node below path has a quota.
func noQuotaBelow(ctx context.Context, zk *client.Client, path string) error {
	var found string
	err := visit(ctx, zk, quotaRoot+path, nil, func(node string) {
		if name, ok := strings.CutSuffix(node, "/"+limitsNode); ok && name != quotaRoot+path && found == "" {
			found = strings.TrimPrefix(name, quotaRoot)
		}
	})
	if found != "" {
		return fmt.Errorf("%s has a child %s which has a quota", path, found)
	}
	if errors.Is(err, jute.NoNode) {
		return nil
	}
	return err
}

// noQuotaAbove fails when a node above path has a quota.
func noQuotaAbove(ctx context.Context, zk *client.Client, path string) error {
	names := strings.Split(path, "/")
	at := quotaRoot
	for _, name := range names[1 : len(names)-1] {
		at += "/" + name
		children, _, err := zk.Children(ctx, at)
		if errors.Is(err, jute.NoNode) {
			return nil
		}
		if err != nil {
			return err
		}
		if slices.Contains(children, limitsNode) {
			return fmt.Errorf("%s has a parent %s which has a quota", path, strings.TrimPrefix(at, quotaRoot))
		}
	}
	return nil
}

func listQuota(ctx context.Context, s *shell, p *parsed) error {
	path := p.words[1]
	limits := quotaRoot + path + "/" + limitsNode
	fmt.Fprintln(s.errs, "absolute path is "+limits)
	quota, err := s.track(ctx, limits)
	if err == nil {
		var used track
		if used, err = s.track(ctx, quotaRoot+path+"/"+statsNode); err == nil {
			fmt.Fprintf(s.out, "Output quota for %s %s\nOutput stat for %s %s\n", path, quota, path, used)
		}
	}
	return s.quotaError(path, err)
}

// quotaError tells of a quota that is not there.
func (s *shell) quotaError(path string, err error) error {
	if errors.Is(err, jute.NoNode) {
		fmt.Fprintf(s.errs, "quota for %s does not exist.\n", path)
		return nil
	}
	return explain(err)
}

func removeQuota(ctx context.Context, s *shell, p *parsed) error {
	path := p.words[1]
	at := quotaRoot + path
	limits := at + "/" + limitsNode
	there, _, err := s.zk.Exists(ctx, limits)
	if err != nil {
		return explain(err)
	}
	if !there {
		fmt.Fprintln(s.out, "Quota does not exist for "+path)
		return nil
	}
	quota, err := s.track(ctx, limits)
	if err != nil {
		return s.quotaError(path, err)
	}
	some := false
	for name, key := range map[string]string{"n": countKey, "b": bytesKey, "N": countMaxKey, "B": bytesMaxKey} {
		if p.has(name) {
			quota[key], some = -1, true
		}
	}
	if some {
		_, err = s.zk.Set(ctx, limits, []byte(quota.String()), -1)
	} else {
		err = s.trimQuota(ctx, at)
	}
	return s.quotaError(path, err)
}

// trimQuota deletes what is below a node of the quota tree, and then it and those above it
// that are empty.
func (s *shell) trimQuota(ctx context.Context, at string) error {
	names, _, err := s.zk.Children(ctx, at)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.zk.Delete(ctx, at+"/"+name, -1); err != nil {
			return err
		}
	}
	for at != quotaRoot {
		names, _, err := s.zk.Children(ctx, at)
		if err != nil || len(names) > 0 {
			return err
		}
		if err := s.zk.Delete(ctx, at, -1); err != nil {
			return err
		}
		at = at[:strings.LastIndexByte(at, '/')]
	}
	return nil
}
