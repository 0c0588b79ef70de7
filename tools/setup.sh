#!/bin/sh
# Brings what the tests need besides Go: the clients of the conformance matrix, strace and a C
# compiler (race detector, librdkafka). Debian packages when root, else a clear message.
set -eu
cd "$(dirname -- "$0")/.."

need=
command -v gcc  >/dev/null 2>&1 || need="$need gcc libc6-dev"
command -v kcat >/dev/null 2>&1 || need="$need kcat"
command -v node >/dev/null 2>&1 || need="$need nodejs"
command -v npm  >/dev/null 2>&1 || need="$need npm"
command -v strace >/dev/null 2>&1 || need="$need strace"
/usr/bin/python3 -c 'import confluent_kafka' 2>/dev/null || need="$need python3-confluent-kafka"

if [ -n "$need" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "set-up: apt-get install$need"
		export DEBIAN_FRONTEND=noninteractive
		# shellcheck disable=SC2086
		apt-get install -y -qq --no-install-recommends $need >/dev/null 2>&1 || {
			apt-get update -qq && apt-get install -y -qq --no-install-recommends $need >/dev/null
		}
	else
		echo "set-up: the tests need these Debian packages:$need" >&2
		echo "set-up: run  sudo apt-get install$need  and then make test again" >&2
		exit 1
	fi
fi

drivers=conformance/clients/drivers
if [ -f $drivers/package-lock.json ] && ! cmp -s $drivers/package-lock.json $drivers/node_modules/.installed; then
	echo "set-up: npm ci in $drivers"
	npm ci --prefix $drivers --no-audit --no-fund --silent
	cp $drivers/package-lock.json $drivers/node_modules/.installed
fi
