#!/usr/bin/env bash
# bundle.sh VERSION FILE [SOURCE]: builds the image and packs all that a host needs of a release into FILE (.tar.gz): image,
# compose files, host script, user data. There is no public image: the bundle is the release. SOURCE is a checkout, default
# this one.
set -euo pipefail

version=${1:?VERSION}
file=$(realpath -m "${2:?FILE}")
source=$(realpath "${3:-$(dirname "$0")/../..}")
image=${IMAGE_NAME:-foodpipeline}:$version

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

docker build --quiet --platform linux/amd64 --build-arg "VERSION=$version" --file "$source/deploy/Dockerfile" \
  --tag "$image" "$source" > /dev/null
docker save --output "$stage/image.tar" "$image"
echo "$image" > "$stage/IMAGE"
cp "$source/docker-compose.yml" "$stage"
[ ! -f "$source/.env" ] || cp "$source/.env" "$stage"
mkdir "$stage/deploy"
cp -r "$source/deploy/ec2" "$stage/deploy"
[ ! -d "$source/deploy/compose" ] || cp -r "$source/deploy/compose" "$stage/deploy"
rm -rf "$stage/deploy/ec2/test" "$stage"/deploy/ec2/soak*

mkdir -p "$(dirname "$file")"
tar -C "$stage" --owner=0 --group=0 -czf "$file" .
(cd "$(dirname "$file")" && sha256sum "$(basename "$file")" > "$file.sha256")
echo "release $version: $file, $(du -h "$file" | cut -f 1)"
