#!/bin/sh
# Runs the millrace binary beside this script as the ZooKeeper tool that the script is named
# for. Like zkEnv.sh it reads zookeeper-env.sh and java.env in the configuration's folder.
here=$(dirname -- "$0")
[ -x "$here/millrace" ] || here=$(dirname -- "$(readlink -f -- "$0")")
if [ "${1-}" = --config ] && [ $# -gt 1 ]; then
	ZOOCFGDIR=$2
	shift 2
fi
if [ -z "${ZOOCFGDIR-}" ] && [ -d "$here/../conf" ]; then
	ZOOCFGDIR=$here/../conf
fi
if [ -n "${ZOOCFGDIR-}" ]; then
	set -a
	for env in zookeeper-env.sh java.env; do
		if [ -f "$ZOOCFGDIR/$env" ]; then . "$ZOOCFGDIR/$env"; fi
	done
	set +a
	export ZOOCFGDIR
fi
exec "$here/millrace" --as "$0" "$@"
