package zk

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

func getACL(ctx context.Context, s *shell, p *parsed) error {
	acl, st, err := s.zk.GetACL(ctx, p.words[1])
	if err != nil {
		return explain(err)
	}
	printACL(s.out, acl)
	if p.has("s") {
		printStat(s.out, &st)
	}
	return nil
}

func setACL(ctx context.Context, s *shell, p *parsed) error {
	path, acl := p.words[1], parseACL(p.words[2], s.errs)
	version, err := p.number("v", 32, -1)
	if err != nil {
		return err
	}
	if len(acl) == 0 {
		// ZooKeeper's client refuses it without asking, and without a path.
		return explain(&client.Error{Op: jute.OpSetACL, Code: jute.InvalidACL})
	}
	if !p.has("R") {
		st, err := s.zk.SetACL(ctx, path, acl, int32(version))
		if err != nil {
			return explain(err)
		}
		if p.has("s") {
			printStat(s.out, &st)
		}
		return nil
	}
	return explain(visit(ctx, s.zk, path, nil, func(node string) {
		_, err := s.zk.SetACL(ctx, node, acl, int32(version))
		var e *client.Error
		if errors.As(err, &e) {
			fmt.Fprint(s.out, keeperMessage(e))
		}
	}))
}

func addAuth(ctx context.Context, s *shell, p *parsed) error {
	var data []byte
	if len(p.words) > 2 {
		data = []byte(p.words[2])
	}
	// A refusal is told by the state, as ZooKeeper's shell does, which does not wait for it.
	if err := s.zk.AddAuth(ctx, p.words[1], data); err != nil && !errors.Is(err, jute.AuthFailed) {
		return explain(err)
	}
	return nil
}

func whoAmI(ctx context.Context, s *shell, _ *parsed) error {
	infos, err := s.zk.WhoAmI(ctx)
	if err != nil {
		return explain(err)
	}
	fmt.Fprintln(s.out, "Auth scheme: User")
	for _, i := range infos {
		fmt.Fprintf(s.out, "%s: %s\n", i.Scheme, i.User)
	}
	return nil
}
