#!/bin/sh
# Runs each fuzz target of the root module for the time given (20s). All of them run; the
# exit code tells whether one found something.
set -eu
cd "$(dirname -- "$0")/.."
time=${1:-20s}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
failed=0
for file in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz'); do
	dir=$(dirname "$file")
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		echo "== ./$dir $name"
		if go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$dir" >"$out" 2>&1; then
			tail -n 1 "$out"
		elif grep -q 'Failing input written' "$out" || ! grep -q '^ *context deadline exceeded' "$out"; then
			cat "$out"
			failed=1
		else
			# The go command's own: a worker was still busy when the time was over.
			echo "ok   (time was over)"
		fi
	done
done
exit $failed
