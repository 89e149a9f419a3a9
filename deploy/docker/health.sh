#!/bin/sh
# The image's health check: healthy is a control server that answers as its users ask it. It is found
# by the settings that s2cs itself takes from the environment; s2uc reads SCISTREAM_SSL, too.
set -eu
host=${SCISTREAM_LISTENER_IP:-127.0.0.1}
case $host in
  0.0.0.0 | ::) host=127.0.0.1 ;;
  *:*) host="[$host]" ;;
esac
# The state folder is the server's; a user needs none to ask this.
SCISTREAM_SERVER_CERT=${SCISTREAM_SERVER_CRT:-$SCISTREAM_STATE_DIR/server.crt}
SCISTREAM_STATE_DIR=/tmp
export SCISTREAM_SERVER_CERT SCISTREAM_STATE_DIR
said=$(s2uc info --s2cs "$host:${SCISTREAM_PORT:-5000}" 2>&1) && exit 0
# It asks who calls, as it does anybody: it is well.
case $said in *'this server serves users that it knows'*) exit 0 ;; esac
printf '%s\n' "$said" >&2
exit 1
