package groups

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/tools/cli"
)

// goal says where the offsets of partitions go, given what the group has committed.
type goal struct {
	plan         func(ctx context.Context, r *runner, scope []cli.Partition, commits map[cli.Partition]committed) (plan, error)
	needsCommits bool
	file         map[string]plan // of --from-file, by group; plan is nil then
}

// goal reads the one scenario that the command line has.
func (o *options) goal(now time.Time) (goal, error) {
	switch {
	case o.hasFromFile:
		file, err := readPlans(o.fromFile, o.groups)
		return goal{file: file}, err
	case o.toEarliest:
		return goal{plan: at(cli.Earliest, "starting offset")}, nil
	case o.toLatest:
		return goal{plan: at(cli.Latest, "ending offset")}, nil
	case o.toCurrent:
		return goal{plan: toCurrent, needsCommits: true}, nil
	case o.hasToOffset:
		return goal{plan: toOffset(o.toOffset)}, nil
	case o.hasShiftBy:
		return goal{plan: shift(o.shiftBy), needsCommits: true}, nil
	case o.hasDatetime:
		t, err := parseDatetime(o.toDatetime)
		return goal{plan: toTime(t)}, err
	default:
		d, err := parseDuration(o.byDuration)
		return goal{plan: toTime(now.Add(-d))}, err
	}
}

type planner = func(context.Context, *runner, []cli.Partition, map[cli.Partition]committed) (plan, error)

func at(timestamp int64, what string) planner {
	return func(ctx context.Context, r *runner, scope []cli.Partition, _ map[cli.Partition]committed) (plan, error) {
		return r.offsetsAt(ctx, scope, timestamp, what)
	}
}

// toCurrent keeps what is committed; where nothing is, the end becomes it.
func toCurrent(ctx context.Context, r *runner, scope []cli.Partition, commits map[cli.Partition]committed) (plan, error) {
	out := plan{}
	var without []cli.Partition
	for _, p := range scope {
		if c, ok := commits[p]; ok {
			out[p] = c.at
		} else {
			without = append(without, p)
		}
	}
	ends, err := r.offsetsAt(ctx, without, cli.Latest, "ending offset")
	for p, end := range ends {
		out[p] = end
	}
	return out, err
}

func toOffset(offset int64) planner {
	return func(ctx context.Context, r *runner, scope []cli.Partition, _ map[cli.Partition]committed) (plan, error) {
		wanted := plan{}
		for _, p := range scope {
			wanted[p] = offset
		}
		return r.clamp(ctx, wanted)
	}
}

func shift(by int64) planner {
	return func(ctx context.Context, r *runner, scope []cli.Partition, commits map[cli.Partition]committed) (plan, error) {
		wanted := plan{}
		for _, p := range scope {
			c, ok := commits[p]
			if !ok {
				return nil, cli.Usagef("Cannot shift offset for partition %s since there is no current committed offset", p)
			}
			wanted[p] = c.at + by
		}
		return r.clamp(ctx, wanted)
	}
}

// toTime goes to the first record of a time; to the end where no record is that young.
func toTime(t time.Time) planner {
	return func(ctx context.Context, r *runner, scope []cli.Partition, _ map[cli.Partition]committed) (plan, error) {
		out, err := r.offsetsAt(ctx, scope, t.UnixMilli(), "offset by timestamp")
		if err != nil {
			return nil, err
		}
		var late []cli.Partition
		for _, p := range scope {
			if out[p] < 0 {
				late = append(late, p)
				fmt.Fprintf(r.out, "\nWarn: Partition %d from topic %s is empty. Falling back to latest known offset.\n", p.Index, p.Topic)
			}
		}
		ends, err := r.offsetsAt(ctx, late, cli.Latest, "ending offset")
		for p, end := range ends {
			out[p] = end
		}
		return out, err
	}
}

// parseDatetime reads YYYY-MM-DDTHH:mm:SS.sss with or without a zone (UTC then).
func parseDatetime(text string) (time.Time, error) {
	_, clock, ok := strings.Cut(text, "T")
	if !ok {
		return time.Time{}, fmt.Errorf("Error parsing timestamp '%s'. It does not contain a 'T' according to ISO8601 format", text)
	}
	if !strings.ContainsAny(clock, "+-Z") {
		text += "Z"
	}
	for _, layout := range []string{"2006-01-02T15:04:05.000Z07:00", "2006-01-02T15:04:05.000Z0700", "2006-01-02T15:04:05.000Z07"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("Unparseable date: \"%s\" (the format is YYYY-MM-DDTHH:mm:SS.sss, for example 2026-01-31T12:00:00.000)", text)
}

var isoDuration = regexp.MustCompile(`(?i)^([+-]?)P(?:([+-]?\d+)D)?(T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?\d+)(?:[.,](\d{0,9}))?S)?)?$`)

// parseDuration reads an ISO 8601 duration of days to seconds, PnDTnHnMnS.
func parseDuration(text string) (time.Duration, error) {
	m := isoDuration.FindStringSubmatch(text)
	if m == nil || len(m[3]) == 1 || m[2] == "" && m[3] == "" {
		return 0, fmt.Errorf("Text '%s' cannot be parsed to a Duration (the format is PnDTnHnMnS, for example PT1H or P1DT30M)", text)
	}
	var total time.Duration
	for i, unit := range map[int]time.Duration{2: 24 * time.Hour, 4: time.Hour, 5: time.Minute, 6: time.Second} {
		if m[i] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("Text '%s' cannot be parsed to a Duration: %s is too much", text, m[i])
		}
		total += time.Duration(n) * unit
	}
	if m[7] != "" {
		nanos, _ := strconv.ParseInt((m[7] + "000000000")[:9], 10, 64)
		if strings.HasPrefix(m[6], "-") {
			nanos = -nanos
		}
		total += time.Duration(nanos)
	}
	if m[1] == "-" {
		total = -total
	}
	return total, nil
}

// readPlans reads the CSV of --export: topic,partition,offset for the one group that was
// named, or group,topic,partition,offset.
func readPlans(path string, groups []string) (map[string]plan, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	read := csv.NewReader(f)
	read.FieldsPerRecord = -1
	read.TrimLeadingSpace = true
	records, err := read.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	plans := map[string]plan{}
	for i, rec := range records {
		if len(rec) == 3 && len(groups) == 1 {
			rec = append([]string{groups[0]}, rec...)
		}
		if len(rec) != 4 {
			return nil, fmt.Errorf("%s: record %d has %d fields: it must be topic,partition,offset (with one --group) or group,topic,partition,offset", path, i+1, len(rec))
		}
		partition, err1 := strconv.ParseInt(strings.TrimSpace(rec[2]), 10, 32)
		offset, err2 := strconv.ParseInt(strings.TrimSpace(rec[3]), 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: record %d: %w", path, i+1, err)
		}
		if plans[rec[0]] == nil {
			plans[rec[0]] = plan{}
		}
		plans[rec[0]][cli.Partition{Topic: rec[1], Index: int32(partition)}] = offset
	}
	return plans, nil
}
