#!/bin/sh
# Runs the millrace binary beside this script as the tool of Kafka or ZooKeeper that the script is named for.
here=$(dirname -- "$0")
[ -x "$here/millrace" ] || here=$(dirname -- "$(readlink -f -- "$0")")
exec "$here/millrace" --as "$0" "$@"
