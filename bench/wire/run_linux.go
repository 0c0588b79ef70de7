package wire

import "context"

func run(context.Context, *Load) (Stats, error) {
	return emptyStats(), &UnsupportedError{OS: "not filled in yet"}
}
