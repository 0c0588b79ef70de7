#!/bin/sh
# Compares what is in this folder with another commit: the Go benchmarks of the hot packages,
# both builds in turns, with benchstat; then brokers of both ("millrace bench compare").
#
#   bench/compare/builds.sh REF OUTDIR
#
# A is REF, B is this folder. Change by environment: COUNT rounds of BENCHTIME each of the
# benchmarks that match BENCH in PACKAGES (BENCH=none: leave them out); PAIRS pairs of the
# SCENARIOS that match this regular expression (SCENARIOS=none: leave them out).
set -eu

ref=${1:?usage: bench/compare/builds.sh REF OUTDIR}
out=${2:?usage: bench/compare/builds.sh REF OUTDIR}
: "${GO:=go}" "${COUNT:=6}" "${BENCHTIME:=100ms}" "${PAIRS:=5}"
: "${PACKAGES:=record protocol index segment engine broker}"
: "${BENCH:=^Benchmark(Append|AppendIdempotent|ProduceHandler|FetchHandler|ProduceTCP|FetchTCP|ProduceDecode|FetchBuild16|Validate|Lookup|Read)$}"
: "${SCENARIOS:=^(produce 1KiB p[16] acks=1 batch=64KiB|produce 1KiB p6 acks=1 batch=1KiB 100x5|fetch 1MiB p1 hot|fetch 16KiB tail)$}"

commit=$(git rev-parse --verify --quiet "$ref^{commit}") || {
	echo "there is no commit $ref: give REF=COMMIT, a branch or a tag (git log --oneline)" >&2
	exit 1
}
work=$(mktemp -d)
clean() {
	git worktree remove --force "$work/tree" 2>/dev/null || :
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM
git worktree add --quiet --detach "$work/tree" "$commit"
mkdir -p "$out"
here=$(pwd)
short=$(git rev-parse --short "$commit")

# build SIDE FOLDER: its millrace, and the test programs of its packages.
build() {
	mkdir -p "$work/$1"
	(
		cd "$2"
		CGO_ENABLED=0 "$GO" build -trimpath -o "$work/$1/millrace" ./cmd/millrace
		[ "$BENCH" = none ] || for p in $PACKAGES; do
			[ ! -d "$p" ] || "$GO" test -c -o "$work/$1/$p.test" "./$p"
		done
	)
}

# measure SIDE FOLDER PACKAGE: one round of its benchmarks, in its own folder.
measure() {
	[ -x "$work/$1/$3.test" ] || return 0
	(cd "$2/$3" && "$work/$1/$3.test" -test.run '^$' -test.bench "$BENCH" -test.benchmem -test.benchtime "$BENCHTIME" -test.timeout 10m) >>"$out/$1.txt"
}

echo "building $short and this folder" >&2
build a "$work/tree"
build b "$here"

if [ "$BENCH" != none ]; then
	: >"$out/a.txt"
	: >"$out/b.txt"
	round=1
	while [ "$round" -le "$COUNT" ]; do
		for p in $PACKAGES; do
			echo "Go benchmarks, round $round of $COUNT: $p" >&2
			measure a "$work/tree" "$p"
			measure b "$here" "$p"
		done
		round=$((round + 1))
	done
	"$GO" tool benchstat "A=$out/a.txt" "B=$out/b.txt" | tee "$out/benchstat.txt"
fi

if [ "$SCENARIOS" != none ]; then
	"$work/b/millrace" bench compare --a-binary "$work/a/millrace" --a-name "$short" --b-binary "$work/b/millrace" --b-name "this folder" \
		--pairs "$PAIRS" --run "$SCENARIOS" --json "$out/compare.json" --html "$out/compare.html"
fi
echo "kept in $out" >&2
