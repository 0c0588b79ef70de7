#!/bin/sh
# Brings what the tests need besides Go: the clients of the conformance matrix, Apache ZooKeeper
# with its clients, strace and a C compiler (race detector, librdkafka), promtool for the alert rules, and a browser for bench's
# report. Debian packages when root, else a clear message; without promtool or a browser their
# tests are skipped.
set -eu
cd "$(dirname -- "$0")/.."

need=
command -v gcc  >/dev/null 2>&1 || need="$need gcc libc6-dev"
command -v kcat >/dev/null 2>&1 || need="$need kcat"
command -v node >/dev/null 2>&1 || need="$need nodejs"
command -v npm  >/dev/null 2>&1 || need="$need npm"
command -v strace >/dev/null 2>&1 || need="$need strace"
/usr/bin/python3 -c 'import confluent_kafka' 2>/dev/null || need="$need python3-confluent-kafka"
/usr/bin/python3 -c 'import kafka' 2>/dev/null || need="$need python3-kafka"
/usr/bin/python3 -c 'import kazoo' 2>/dev/null || need="$need python3-kazoo"
command -v java >/dev/null 2>&1 || need="$need default-jre-headless"
[ -x /usr/share/zookeeper/bin/zkCli.sh ] || need="$need zookeeper"
for jar in zookeeper:libzookeeper-java servlet-api:libservlet-api-java slf4j-simple:libslf4j-java; do
	[ -f "/usr/share/java/${jar%%:*}.jar" ] || need="$need ${jar#*:}"
done
[ -x /usr/lib/zookeeper/bin/cli_mt ] || need="$need zookeeper-bin"
[ -f /usr/include/zookeeper/zookeeper.h ] || need="$need libzookeeper-mt-dev"

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

browser=
for b in "${CHROMIUM:-chromium}" chromium chromium-browser google-chrome; do
	command -v "$b" >/dev/null 2>&1 && browser=$b
done
if [ -z "$browser" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "set-up: apt-get install chromium"
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 || {
			apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null
		} || echo "set-up: chromium cannot be installed; the tests of the report in a browser are skipped" >&2
	else
		echo "set-up: no chromium; the tests of the report in a browser are skipped (sudo apt-get install chromium)" >&2
	fi
fi

# Only promtool of the package, into bin/: installed, it would start a server.
if ! command -v promtool >/dev/null 2>&1 && [ ! -x bin/promtool ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "set-up: promtool"
		mkdir -p bin
		debs=$(mktemp -d)
		chmod 755 "$debs"
		{ (cd "$debs" && apt-get download -qq prometheus >/dev/null 2>&1) ||
			(apt-get update -qq && cd "$debs" && apt-get download -qq prometheus >/dev/null 2>&1); } &&
			dpkg-deb --fsys-tarfile "$debs"/prometheus_*.deb | tar -xO ./usr/bin/promtool >bin/promtool.new &&
			chmod 755 bin/promtool.new && mv bin/promtool.new bin/promtool ||
			echo "set-up: promtool cannot be had; the tests of the alert rules are skipped" >&2
		rm -rf "$debs" bin/promtool.new
	else
		echo "set-up: no promtool; the tests of the alert rules are skipped (sudo apt-get install prometheus)" >&2
	fi
fi

drivers=conformance/clients/drivers
if [ -f $drivers/package-lock.json ] && ! cmp -s $drivers/package-lock.json $drivers/node_modules/.installed; then
	echo "set-up: npm ci in $drivers"
	npm ci --prefix $drivers --no-audit --no-fund --silent
	cp $drivers/package-lock.json $drivers/node_modules/.installed
fi
