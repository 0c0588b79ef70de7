#!/bin/sh
# Runs the millrace binary beside this script as the Kafka tool that the script is named for.
here=$(dirname -- "$0")
[ -x "$here/millrace" ] || here=$(dirname -- "$(readlink -f -- "$0")")
exec "$here/millrace" --as "$0" "$@"
