#!/bin/sh
# Stands in for setpriv(1): who plays a guest (stand-in.py) enters its namespace, as root. All others become whom they are to be.
name=$(printf '%s\n' "$@" | sed -n 's/^guest=\([^,]*\).*/\1/p')
case $name in
many-*) ;;
*) [ -e "/run/netns/vm-$name" ] || exec /run/real-setpriv "$@" ;;
esac
for word; do
  shift
  [ "$word" != -- ] || break
done
exec "$@"
