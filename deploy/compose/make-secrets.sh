#!/bin/sh
# Make what compose's services authenticate with, once: what is there is left alone.
# Each consumer has a volume of its own below /secrets and sees no other.
set -eu
umask 077
app=/secrets/app web=/secrets/web database=/secrets/database broker=/secrets/broker grafana=/secrets/grafana

random() { od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'; }
keep() { # keep FILE CONTENT
  [ -s "$1" ] && return 0
  printf '%s\n' "$2" > "$1.new"
  mv "$1.new" "$1"
}

keep $database/password "$(random)"
keep $broker/rabbitmq.conf "default_user = patchbay
default_pass = $(random)
loopback_users = none
collect_statistics_interval = 30000
log.console = true
log.console.level = warning"
keep $app/secret_key "$(random)"
keep $web/secret_key "$(cat $app/secret_key)"
keep $app/admin_password "${ADMIN_PASSWORD:-$(random)}"
keep $app/database_url "postgresql://patchbay:$(cat $database/password)@postgres/patchbay"
keep $app/bus_url "amqp://patchbay:$(sed -n 's/^default_pass = //p' $broker/rabbitmq.conf)@rabbitmq:5672/"
keep $grafana/admin_password "$(random)"

# The volumes' folders are for their one consumer, whose user differs from image to image.
chown -R 10001:10001 $app $web
chmod 0555 $database $broker $grafana
chmod 0444 $database/password $broker/rabbitmq.conf $grafana/admin_password
chmod 0500 $app $web
chmod 0400 $app/* $web/*
