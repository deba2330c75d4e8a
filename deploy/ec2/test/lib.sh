# What the tests of deploy/ec2 share. Sourced.
# shellcheck shell=bash disable=SC2154 # project is the test's
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ec2=$(dirname "$here")
tmp=$(mktemp -d "${TMPDIR:-/tmp}/foodpipeline-ec2.XXXXXX")
passed=0 failed=0

# check NAME COMMAND...: runs it and shows what it printed if it did not do.
check() {
  local name=$1
  shift
  if "$@" > "$tmp/out" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name: $*"
    sed 's/^/        /' "$tmp/out"
  fi
}

# not COMMAND...: it must fail.
not() { ! "$@"; }

# says TEXT COMMAND...: it must print the text, whatever its exit code.
says() {
  local text=$1
  shift
  "$@" > "$tmp/said" 2>&1 || true
  cat "$tmp/said"
  grep -qF -- "$text" "$tmp/said"
}

# refuses TEXT COMMAND...: it must fail and print the text.
refuses() {
  local text=$1
  shift
  if "$@" > "$tmp/said" 2>&1; then
    cat "$tmp/said"
    echo "exit code 0"
    return 1
  fi
  cat "$tmp/said"
  grep -qF -- "$text" "$tmp/said"
}

# skip REASON: ends this test, which counts as none.
skip() {
  echo "skipped: $*"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}

finish() {
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

need_docker() {
  { docker compose version && docker info; } > /dev/null 2>&1 || skip "start a Docker engine with Compose"
  docker image inspect debian:bookworm-slim > /dev/null 2>&1 || docker pull --quiet debian:bookworm-slim > /dev/null ||
    skip "the image debian:bookworm-slim is needed: docker pull debian:bookworm-slim"
}

# bundle_of VERSION [ARG=VALUE...]: prints the file of a release of the stand-in project, built with these arguments.
bundle_of() {
  local source=$tmp/source-$1 file=$tmp/bundles/$1.tar.gz version=$1 argument
  shift
  cp -r "$here/project" "$source"
  cp "$ec2/host.sh" "$source/deploy/ec2"
  for argument; do sed -i "/^ARG/s/${argument%%=*}=[^ ]*/$argument/" "$source/deploy/Dockerfile"; done
  IMAGE_NAME=$project "$ec2/bundle.sh" "$version" "$file" "$source" > /dev/null
  echo "$file"
}

# forget_project takes away what a stand-in host left in Docker.
forget_project() {
  docker ps --all --quiet --filter "label=com.docker.compose.project=$project" | xargs -r docker rm --force > /dev/null 2>&1 || true
  docker volume rm --force "${project}_postgres-data" "${project}_kafka-data" > /dev/null 2>&1 || true
  docker network rm "${project}_default" > /dev/null 2>&1 || true
  docker images --quiet "$project" | sort -u | xargs -r docker rmi --force > /dev/null 2>&1 || true
}
