#!/bin/sh
# Makes the secrets of the compose profile `fleet`, once; what is there already stays as it is.
#   sh deploy/make-secrets.sh [DIRECTORY]
set -eu
directory=${1:-secrets}

# The directory keeps others on this machine out. The files can be read by all, as each container
# reads them as a user of its own.
umask 022
mkdir -p "$directory"
chmod 0700 "$directory"

password() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

keep() { # name: writes standard input to that file, unless there is one
  if [ -e "$directory/$1" ]; then
    cat >/dev/null
    echo "kept $directory/$1"
  else
    cat >"$directory/$1.new"
    chmod 0444 "$directory/$1.new"
    mv "$directory/$1.new" "$directory/$1"
    echo "made $directory/$1"
  fi
}

password | keep database_password
password | keep broker_password
database=$(cat "$directory/database_password")
broker=$(cat "$directory/broker_password")

printf 'postgres://almenara:%s@database:5432/almenara\n' "$database" | keep database_url
printf 'amqp://almenara:%s@broker:5672/almenara\n' "$broker" | keep broker_url
printf 'default_user = almenara\ndefault_pass = %s\ndefault_vhost = almenara\n' "$broker" |
  keep broker.conf
head -c 32 /dev/urandom | base64 | keep secret_key
