package metadata

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckPath(t *testing.T) {
	for _, good := range []string{"/", "/a", "/a/b.c", "/a/..b", "/é"} {
		if err := checkPath(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a", "a/b", "/a/", "//", "/a//b", "/a/./b", "/a/..", "/a\x00", "/a\x1f", "/\u0080", "/\ufff0", "/" + strings.Repeat("a", maxPathBytes)} {
		if err := checkPath(bad); !errors.Is(err, ErrBadArguments) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
