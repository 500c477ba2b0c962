#!/bin/sh
set -eu
chown -R rabbitmq:rabbitmq /var/lib/rabbitmq
export HOME=/var/lib/rabbitmq RABBITMQ_LOGS=- RABBITMQ_NODENAME="rabbit@$(hostname)"
exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups -- /usr/lib/rabbitmq/bin/rabbitmq-server
