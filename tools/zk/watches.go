package zk

import (
	"context"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

func addWatch(ctx context.Context, s *shell, p *parsed) error {
	mode := jute.WatchPersistentRecursive
	if p.has("m") {
		switch strings.ToUpper(p.values["m"]) {
		case "PERSISTENT":
			mode = jute.WatchPersistent
		case "PERSISTENT_RECURSIVE":
		default:
			return failure(find("addWatch").usage())
		}
	}
	if len(p.words) != 2 {
		return failure(find("addWatch").usage())
	}
	return explain(s.zk.AddWatch(ctx, p.words[1], mode, unwatched))
}

func removeWatches(ctx context.Context, s *shell, p *parsed) error {
	which := jute.WatcherAny
	switch {
	case p.has("c"):
		which = jute.WatcherChildren
	case p.has("d"):
		which = jute.WatcherData
	}
	return explain(s.zk.RemoveWatches(ctx, p.words[1], which))
}
