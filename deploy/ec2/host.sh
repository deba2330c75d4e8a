#!/usr/bin/env bash
# What is done on the host: one action a call, one at a time. It lies in each release and is called by foodpipeline-host,
# by hand or over SSM:
#
#   host.sh install-release VERSION  load the release's image; changes nothing that runs
#   host.sh configure VERSION        run the release's user-data.sh again: packages, kernel settings, units
#   host.sh upgrade VERSION          install it, migrate, replace the programs one by one, verify; back if that does not do
#   host.sh rollback                 the release before, in the same way, without migrating
#   host.sh backup                   a cold copy of both volumes and the secrets, to S3
#   host.sh restore NAME             that copy back, and verify; NAME of a backup, latest, or previous (undo the last restore)
#   host.sh backups | status         what there is
#   host.sh up | stop                for the unit foodpipeline.service
#
# It needs no AWS: without BUCKET backups stay on this disk. FOODPIPELINE_OPT, _ETC, _DATA and _PROJECT move it.
set -euo pipefail

opt=${FOODPIPELINE_OPT:-/opt/foodpipeline}
etc=${FOODPIPELINE_ETC:-/etc/foodpipeline}
data=${FOODPIPELINE_DATA:-/var/lib/foodpipeline}
project=${FOODPIPELINE_PROJECT:-foodpipeline}
export SECRETS_DIR=$etc/secrets

# The order in which programs are replaced: the standby first, so that one relay runs the whole time. What the compose
# files have besides follows them.
rolling=(relay-standby relay projector-1 projector-2 orderservice)
servers=(postgres kafka)
oneshots=(migrate topics verify)
volumes=(postgres-data kafka-data)

ready_within=${FOODPIPELINE_READY_WITHIN:-300} # seconds, for a program or server to become healthy; a cold JVM takes long

say() { echo "$(date -u +%T) $*"; }
fail() {
  echo "error: $*" >&2
  exit 1
}

# --- releases -------------------------------------------------------------------------------------------------------

# target LINK: the version that a link points to, or nothing.
target() { [ ! -L "$opt/$1" ] || basename "$(readlink "$opt/$1")"; }

# point LINK VERSION: at once, so that a reboot in between meets one or the other.
point() {
  ln -sfn "releases/$2" "$opt/.$1.new"
  mv -T "$opt/.$1.new" "$opt/$1"
}

# compose VERSION ARGUMENTS...: quietly, as SSM shows the first 8000 characters of errors and no more.
compose() {
  local release=$opt/releases/$1
  shift
  IMAGE=$(< "$release/IMAGE") docker compose --progress quiet --project-name "$project" --project-directory "$release" \
    -f "$release/docker-compose.yml" -f "$release/deploy/ec2/compose.yml" "$@"
}

# run VERSION SERVICE: a one-shot, to its end.
run() { compose "$1" run --rm --no-deps -T "$2" < /dev/null; }

# among WORD WORD...: is the first one of the others?
among() {
  local word=$1 other
  shift
  for other; do [ "$word" != "$other" ] || return 0; done
  return 1
}

# list VERSION: sets programs to the services that are neither servers nor one-shots, those of rolling first, in its order.
programs=()
list() {
  local services service
  services=$(compose "$1" config --services) || return
  mapfile -t services <<< "$services"
  programs=()
  for service in "${rolling[@]}"; do ! among "$service" "${services[@]}" || programs+=("$service"); done
  for service in "${services[@]}"; do
    among "$service" "${rolling[@]}" "${servers[@]}" "${oneshots[@]}" || programs+=("$service")
  done
  ((${#programs[@]} > 0)) || fail "release $1 has no programs"
}

# start VERSION SERVICE...: and wait until they are ready. Without dependencies: no one-shot is run by the way, since after
# a rollback an older migrate refuses the newer schema that the older programs can do with.
start() {
  local version=$1 service
  shift
  compose "$version" up --detach --no-build --no-deps --quiet-pull "$@" || return
  for service; do await "$version" "$service" || return; done
}

# await VERSION SERVICE: asks by its own health check, and does not wait for Docker to do so: that may be a minute.
await() {
  local container state look=() until=$((SECONDS + ready_within))
  container=$(compose "$1" ps --quiet "$2") || return
  mapfile -t look < <(docker inspect --format '{{range .Config.Healthcheck.Test}}{{println .}}{{end}}' "$container" | sed '/^$/d')
  [ "${look[0]}" = CMD ] || fail "the health check of $2 is not a plain command"
  until docker exec "$container" "${look[@]:1}" > /dev/null 2>&1; do
    state=$(docker inspect --format '{{.State.Status}}, {{.State.Health.Status}}, {{.RestartCount}} restarts' "$container")
    if [[ $state == *unhealthy* ]] || ((SECONDS > until)); then
      echo "$2 of $1 is not ready: $state. The last that it said:"
      docker logs --tail 15 "$container" 2>&1 | sed 's/^/  /'
      return 1
    fi
    sleep 1
  done
}

# up VERSION: what is not up already, servers first.
up() { list "$1" && start "$1" "${servers[@]}" && start "$1" "${programs[@]}"; }

install_release() {
  local release=$opt/releases/$1
  [ -d "$release" ] || fail "release $1 is not in $opt/releases"
  if [ -f "$release/image.tar" ]; then
    docker load --quiet --input "$release/image.tar"
    rm "$release/image.tar"
  fi
  docker image inspect "$(< "$release/IMAGE")" > /dev/null
  say "release $1 is installed"
}

# replace VERSION: its servers, then its programs one by one, each healthy before the next.
replace() {
  local service
  list "$1" || return
  start "$1" "${servers[@]}" || return
  for service in "${programs[@]}"; do
    say "start $service of $1"
    start "$1" "$service" || return
  done
}

# prepare VERSION: what the programs expect in the servers. Only ever adds, so the programs that run do not notice.
prepare() {
  start "$1" "${servers[@]}" || return
  say "migrate and topics of $1"
  run "$1" migrate || return
  run "$1" topics || return
}

upgrade() {
  local new=$1 old
  old=$(target current)
  install_release "$new"
  if [ "$new" = "$old" ]; then
    say "release $new is in use already"
    up "$new"
  elif prepare "$new" && replace "$new" && run "$new" verify; then
    [ -z "$old" ] || point previous "$old"
    point current "$new"
    say "release $new is in use${old:+, $old is kept for rollback}"
  else
    [ -n "$old" ] || fail "release $new did not become ready (see above), and there is none to go back to"
    say "release $new did not become ready: back to $old"
    replace "$old" || fail "neither $new nor $old become ready (see above)"
    fail "release $new did not become ready (see above); $old is in use again"
  fi
  remove_old_releases
}

rollback() {
  local new old
  new=$(target previous)
  old=$(target current)
  [ -n "$new" ] || fail "there is no release before $old"
  replace "$new" || fail "release $new did not become ready (see above); $old stays the one in use: upgrade $old starts what is not up"
  point current "$new"
  point previous "$old"
  say "release $new is in use again, $old is kept for another rollback"
  run "$new" verify
}

# remove_old_releases keeps the one in use and the one before. An image that a container still has stays.
remove_old_releases() {
  local release version
  for release in "$opt"/releases/*/; do
    version=$(basename "$release")
    ! among "$version" "$(target current)" "$(target previous)" || continue
    docker image rm "$(< "$release/IMAGE")" > /dev/null 2>&1 || true
    rm -rf "$release"
  done
}

# --- backup and restore ---------------------------------------------------------------------------------------------
#
# A backup is both volumes, copied while nothing runs: then slot and write-ahead log, checkpoint and topic, read model and
# offsets are of one moment, and the relay's gates find one history. No dump has that: pg_dump and pg_basebackup leave
# slots out, and Kafka's half would be of another moment.

mountpoint_of() { docker volume inspect --format '{{.Mountpoint}}' "${project}_$1"; }

# halt VERSION: programs first, so that they finish what they have in hand, then the servers.
halt() {
  local volume users
  list "$1"
  compose "$1" stop "${programs[@]}"
  compose "$1" stop "${servers[@]}"
  for volume in "${volumes[@]}"; do
    users=$(docker ps --quiet --filter "volume=${project}_$volume")
    [ -z "$users" ] || fail "a container still uses volume ${project}_$volume: $users"
  done
}

# copy_volumes DIR: as DIR/VOLUME. By reference where the file system can (XFS): then it takes no time and no space.
copy_volumes() {
  local volume
  for volume in "${volumes[@]}"; do cp -a --reflink=auto "$(mountpoint_of "$volume")" "$1/$volume"; done
}

backup() {
  local version=$1 name work=$data/backup/.work began
  name=$(date -u +%Y%m%dT%H%M%SZ)-$version
  room_for_copy
  rm -rf "$work"
  mkdir -p "$work"
  chmod 0700 "$data/backup"

  began=$SECONDS
  say "stop"
  restart() { up "$version"; }
  trap restart EXIT # whatever happens from here
  halt "$version"
  copy_volumes "$work"
  trap - EXIT
  say "start"
  restart
  say "the pipeline was paused for $((SECONDS - began)) s"

  cp -a "$etc/secrets" "$work/secrets"
  printf 'release %s\ntaken %s\n' "$version" "${name%%-*}" > "$work/MANIFEST"
  (umask 077 && nice tar -C "$work" --numeric-owner -czf "$data/backup/$name.tar.gz" MANIFEST secrets "${volumes[@]}")
  rm -rf "$work"
  (cd "$data/backup" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
  say "backup $name, $(du -h "$data/backup/$name.tar.gz" | cut -f 1)"
  upload "$name"
}

# room_for_copy: a copy and an archive of it must fit, at the worst.
room_for_copy() {
  local volume need=0 have
  for volume in "${volumes[@]}"; do need=$((need + $(du -sk "$(mountpoint_of "$volume")" | cut -f 1))); done
  have=$(df -k --output=avail "$data" | tail -n 1)
  ((have > 2 * need)) || fail "backup needs $((2 * need / 1024)) MiB of room in $data, there are $((have / 1024))"
}

# upload NAME: to S3, where there is one; only then it goes from here. The alarm on missing backups watches the metric.
upload() {
  local file
  [ -n "${BUCKET:-}" ] || return 0
  for file in "$1.tar.gz" "$1.tar.gz.sha256"; do
    aws s3 cp --only-show-errors "$data/backup/$file" "s3://$BUCKET/$STACK/backups/$file"
    rm "$data/backup/$file"
  done
  say "it is in s3://$BUCKET/$STACK/backups/"
  aws cloudwatch put-metric-data --namespace foodpipeline --metric-name BackupSucceeded --value 1 \
    --dimensions "Stack=$STACK"
}

backups() {
  if [ -n "${BUCKET:-}" ]; then
    aws s3 ls "s3://$BUCKET/$STACK/backups/" | sed -n 's/^\(.*\) \([^ ]*\)\.tar\.gz$/\1 \2/p'
  else
    find "$data/backup" -name '*.tar.gz' -printf '%TF %TT %s %f\n' | sed 's/\.tar\.gz$//' | sort
  fi
}

# unpack NAME DIR: a backup's content, checked, before anything is stopped.
unpack() {
  local name=$1 file
  if [ "$name" = latest ]; then
    name=$(backups | tail -n 1 | awk '{print $NF}')
    [ -n "$name" ] || fail "there is no backup"
  fi
  for file in "$name.tar.gz" "$name.tar.gz.sha256"; do
    if [ -n "${BUCKET:-}" ]; then
      aws s3 cp --only-show-errors "s3://$BUCKET/$STACK/backups/$file" "$2.$file"
    else
      cp "$data/backup/$file" "$2.$file"
    fi
  done
  [ "$(sha256sum < "$2.$name.tar.gz" | cut -d ' ' -f 1)" = "$(cut -d ' ' -f 1 "$2.$name.tar.gz.sha256")" ] ||
    fail "backup $name is damaged: its checksum differs"
  mkdir -p "$2"
  tar -C "$2" --numeric-owner -xpzf "$2.$name.tar.gz"
  rm "$2.$name.tar.gz" "$2.$name.tar.gz.sha256"
}

# exchange FROM TO: what is in the volumes and the secrets goes to TO, what is in FROM takes their place. By renaming: the
# last restore can be undone, and a power cut leaves every file in one place or the other.
exchange() {
  local volume mountpoint
  for volume in "${volumes[@]}"; do
    mountpoint=$(mountpoint_of "$volume")
    mv -T "$mountpoint" "$2/$volume"
    mv -T "$1/$volume" "$mountpoint"
  done
  cp -a "$etc/secrets" "$2/secrets"
  cp -a "$1/secrets/." "$etc/secrets/"
  mv "$1/MANIFEST" "$2/.restored"
}

restore() {
  local version=$1 name=$2 from=$data/restore before=$data/before-restore
  rm -rf "$from"* # of a restore that broke off while unpacking
  if [ "$name" = previous ]; then
    [ -d "$before" ] || fail "no restore is there to be undone"
    mv -T "$before" "$from"
    echo "undo of a restore" > "$from/MANIFEST"
  else
    (umask 077 && unpack "$name" "$from")
  fi
  say "restore: $(tr '\n' ' ' < "$from/MANIFEST")"
  halt "$version"
  rm -rf "$before"
  install -d -m 0700 "$before"
  exchange "$from" "$before"
  rm -rf "$from"
  say "start"
  # The backup may be of an older release; or of a newer one, before a rollback: then migrate refuses, and the programs judge.
  start "$version" "${servers[@]}"
  run "$version" migrate || say "not migrated, see above"
  if ! { replace "$version" && run "$version" verify; }; then
    fail "the restored state does not verify (see above). To have back what was there before: restore previous"
  fi
  say "restored and verified. What was there before is kept until the next restore: restore previous brings it back"
}

# --- what there is --------------------------------------------------------------------------------------------------

status() {
  local version
  version=$(target current)
  echo "release ${version:-none}, before it $(target previous)"
  [ -z "$version" ] || compose "$version" ps --all --format 'table {{.Service}}\t{{.Status}}\t{{.Image}}'
  echo
  docker stats --no-stream --format 'table {{.Name}}\t{{.MemUsage}}\t{{.CPUPerc}}'
  free -m
  df -h / "$data"
  echo
  echo "newest backup: $(backups | tail -n 1)"
}

# settle: systemd counts the pipeline as started, and so stops it in order at a shutdown. After the lock is given back, as
# the unit's own call takes it.
settle() {
  flock --unlock 9
  ! systemctl cat foodpipeline.service > /dev/null 2>&1 || systemctl start foodpipeline.service
}

main() {
  local action=${1:-} version
  [ $# -eq 0 ] || shift
  case $action in
    install-release | configure | upgrade) [ $# -eq 1 ] || fail "$action takes a version" ;;
    restore) [ $# -eq 1 ] || fail "restore takes the name of a backup, latest or previous" ;;
    up | stop | rollback | backup | backups | status) [ $# -eq 0 ] || fail "$action takes no argument" ;;
    *) fail "usage: host.sh install-release|configure|upgrade VERSION | rollback | backup | restore NAME | backups | status | up | stop" ;;
  esac
  version=$(target current)
  case $action in
    status | backups)
      "$action"
      return
      ;;
    up | stop | rollback | backup | restore) [ -n "$version" ] || fail "no release is in use: upgrade VERSION first" ;;
  esac
  mkdir -p "$opt" "$data"
  exec 9> "$data/.lock"
  flock --timeout 900 9 || fail "another action is under way"
  case $action in
    install-release) install_release "$1" ;;
    configure) bash "$opt/releases/$1/deploy/ec2/user-data.sh" ;;
    up) up "$version" ;;
    stop) halt "$version" ;;
    backup) backup "$version" ;;
    upgrade | rollback)
      "$action" "$@"
      settle
      ;;
    restore)
      restore "$version" "$1"
      settle
      ;;
  esac
}

main "$@"
