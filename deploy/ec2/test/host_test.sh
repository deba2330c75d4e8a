#!/usr/bin/env bash
# host.sh on a real Docker engine: a stand-in project of the same services (project/), in directories and under a name of
# its own. No AWS: backups stay on the disk.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_docker
[ "$(id -u)" = 0 ] || skip "run it as root: volumes are copied where Docker keeps them"

project=foodpipeline-ec2-host-test
export FOODPIPELINE_PROJECT=$project FOODPIPELINE_READY_WITHIN=60
export FOODPIPELINE_OPT=$tmp/opt FOODPIPELINE_ETC=$tmp/etc FOODPIPELINE_DATA=$tmp/data
unset BUCKET STACK
trap 'forget_project; rm -rf "$tmp"' EXIT
forget_project
mkdir -p "$tmp/etc/secrets" "$tmp/opt/releases"
echo first > "$tmp/etc/secrets/postgres"

host() { bash "$ec2/host.sh" "$@"; }

unpacked() { # VERSION ARG=VALUE...: a release, as foodpipeline-host fetches it
  local file
  file=$(bundle_of "$@")
  mkdir -p "$tmp/opt/releases/$1"
  tar -xzf "$file" -C "$tmp/opt/releases/$1"
}

in_use() { [ "$(readlink "$tmp/opt/current")" = "releases/$1" ]; }

# runs VERSION: every program and server is of that release and healthy.
runs() {
  local container count=0
  for container in $(docker ps --quiet --filter "label=com.docker.compose.project=$project"); do
    docker inspect --format '{{.Name}} {{.Config.Image}} {{.State.Status}}' "$container"
    [ "$(docker inspect --format '{{.Config.Image}}' "$container")" = "$project:$1" ] || return
    docker exec "$container" bash /usr/local/bin/program healthy || return
    count=$((count + 1))
  done
  [ "$count" = 5 ]
}

volume() { docker volume inspect --format '{{.Mountpoint}}' "${project}_$1"; }
events() { wc -l < "$(volume postgres-data)/events"; }
more_events_than() { timeout 20 bash -c "until [ \$(wc -l < '$(volume postgres-data)/events') -gt $1 ]; do sleep 0.1; done"; }

check "nothing is in use at first" refuses "no release is in use" host backup
check "an unknown release is refused" refuses "not in" host upgrade v9
gone() { [ ! -e "$1" ] && [ ! -e "$2" ]; }

unpacked v1
check "install-release loads the image and starts nothing" host install-release v1
check "  no release is in use then" not test -e "$tmp/opt/current"
check "the first upgrade starts all and verifies" says "verify:" host upgrade v1
check "  v1 runs, without the standby" runs v1
check "  v1 is in use" in_use v1
check "the same upgrade again changes nothing" says "in use already" host upgrade v1

unpacked v2 SCHEMA=2
check "upgrade to v2 migrates and replaces" host upgrade v2
check "  v2 runs" runs v2
check "  v2 is in use" in_use v2
check "  the schema is the newer" grep -qx 2 "$(volume postgres-data)/schema"
unpacked v3 SCHEMA=3 BROKEN=yes
check "upgrade to a release that does not get ready fails" refuses "v2 is in use again" host upgrade v3
check "  v2 runs" runs v2
check "  v2 is in use" in_use v2

check "rollback to v1, on the newer schema" host rollback
check "  v1 runs" runs v1
check "  v1 is in use" in_use v1
check "up after a rollback does not migrate back" host up
check "  v1 runs" runs v1
check "another rollback is v2 again" host rollback
check "  v2 runs" runs v2

check "events before the backup" more_events_than 10
before=$(events)
check "backup" says "paused for" host backup
check "  the programs run again" runs v2
name=$(host backups | awk '{print $NF}')
archive=$tmp/data/backup/$name.tar.gz
check "  both volumes and the secrets are in it" \
  bash -c "tar -tzf '$archive' | grep -x -e secrets/postgres -e postgres-data/events -e kafka-data/events | wc -l | grep -x 3"
check "  table and topic in it are equal, to the event" \
  bash -c "cmp <(tar -xzOf '$archive' postgres-data/events) <(tar -xzOf '$archive' kafka-data/events)"
taken=$(tar -xzOf "$archive" postgres-data/events | wc -l)
check "  it has what was there" test "$taken" -ge "$before"
check "  its owner alone may read it" test "$(stat -c %a "$archive")" = 600

echo second > "$tmp/etc/secrets/postgres"
for half in postgres-data kafka-data; do touch "$(volume $half)/later"; done
docker stop --time 1 "$(docker ps --quiet --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.service=relay)" > /dev/null
check "restore, with a program down" says "restored and verified" host restore latest
check "  the programs run again" runs v2
check "  what came after the backup is gone, from both" \
  gone "$(volume postgres-data)/later" "$(volume kafka-data)/later"
check "  the secrets are those of the backup" grep -qx first "$tmp/etc/secrets/postgres"
check "  the events go on" more_events_than $((taken + 1))
check "restore previous undoes it" says "restored and verified" host restore previous
check "  what came after the backup is there again, in both" \
  ls "$(volume postgres-data)/later" "$(volume kafka-data)/later"
check "  and the secrets" grep -qx second "$tmp/etc/secrets/postgres"
check "restore of a backup that is not there" refuses "No such file" host restore 20000101T000000Z-v1

printf x >> "$archive"
check "restore of a damaged backup is refused" refuses "checksum differs" host restore "$name"
check "  and stopped nothing" runs v2

# The negative control: the table alone from the backup, and the topic of today.
truncate --size=-1 "$archive"
half=$tmp/half
mkdir "$half"
tar -C "$half" --numeric-owner -xpzf "$archive"
host stop > /dev/null 2>&1
cp "$(volume kafka-data)/events" "$half/kafka-data/events"
(umask 077 && tar -C "$half" -czf "$tmp/data/backup/20990101T000000Z-half.tar.gz" MANIFEST secrets postgres-data kafka-data)
(cd "$tmp/data/backup" && sha256sum 20990101T000000Z-half.tar.gz > 20990101T000000Z-half.tar.gz.sha256)
host up > /dev/null 2>&1
check "a backup whose halves are of two moments does not verify" refuses "does not verify" host restore latest
check "  restore previous mends it" says "restored and verified" host restore previous

check "stop stops all" host stop
check "  nothing runs" test -z "$(docker ps --quiet --filter "label=com.docker.compose.project=$project")"
docker run --detach --name "$project-guest" --volume "${project}_kafka-data:/x" debian:bookworm-slim sleep 600 > /dev/null
docker start "$(docker ps --all --quiet --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.service=orderservice)" > /dev/null
check "a backup while another uses a volume is refused" refuses "still uses volume" host backup
check "  and all runs afterwards" runs v2
docker rm --force "$project-guest" > /dev/null
check "up starts what is stopped" host up
check "status tells the release" says "release v2, before it v1" host status

finish
