#!/usr/bin/env bash
# user-data.sh in a container of Debian, twice. Real: its files, their modes, mkfs.xfs, blkid, mkswap, openssl, and systemd's
# check of the units. Stubs that note how they are called (host/stub): the package manager, downloads, AWS, Docker, mounting,
# swapping, sysctl, systemctl and the CloudWatch agent. One line of it is changed: the checksum of Compose, as there is a
# stand-in for the download.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_docker

image=foodpipeline-ec2-user-data-test
container=$image
trap 'docker rm --force "$container" > /dev/null 2>&1 || true; rm -rf "$tmp"' EXIT
docker rm --force "$container" > /dev/null 2>&1 || true
docker build --quiet --tag "$image" "$here/host" > /dev/null || skip "the image needs Debian's packages, and they could not be had"
docker run --detach --name "$container" "$image" sleep 600 > /dev/null

in_host() { docker exec "$container" "$@"; }
in_host ln -s /disk /dev/sdf

# boot [SCRIPT]: runs it as cloud-init does, with the settings that the template puts before it.
boot() {
  docker exec --interactive --env STACK=shop --env BUCKET=bucket --env AWS_DEFAULT_REGION=eu-west-1 --env SWAP_MIB=8 \
    --env SIGNAL_URL=https://signal "$container" bash < "${1:-$tmp/user-data.sh}"
}

# tree: every file that it may make, with mode, owner and content.
tree() {
  in_host bash -c 'find /etc/foodpipeline /etc/systemd/system /etc/docker /etc/sysctl.d /etc/fstab /usr/local /swapfile /opt \
    -printf "%p %m %u:%g %l\n" | sort; find /etc/foodpipeline /etc/systemd/system /etc/docker /etc/sysctl.d /etc/fstab \
    /usr/local /swapfile /opt -type f -print0 | sort -z | xargs -0 sha256sum; blkid -p -s UUID -o value /disk'
}

calls() { in_host cat /state/calls; }
called() { calls | grep -qE -- "$1"; }
mode() { test "$(in_host stat -c '%a %U' "$2")" = "$1"; }
has() { in_host cat "$1" | grep -qF -- "$2"; }

sed "s/^compose_sha256=.*/compose_sha256=$(in_host sha256sum /plugin | cut -d ' ' -f 1)/" "$ec2/user-data.sh" > "$tmp/user-data.sh"

check "a plugin of another checksum ends it" not boot "$ec2/user-data.sh"
check "  and the stack is told the line" called 'curl .*https://signal .*"Status": "FAILURE".*user-data.sh line [0-9]+: .*sha256sum'
check "  the plugin is not there" not in_host test -e /usr/local/lib/docker/cli-plugins/docker-compose
in_host rm /state/calls

check "the first boot" boot
cp "$tmp/out" "$tmp/first.out"
tree > "$tmp/first"
calls > "$tmp/first.calls"
check "  the stack is told, once" test "$(grep -c 'curl .*https://signal' "$tmp/first.calls")" = 1
check "  of a success" called 'curl .*https://signal .*"Status": "SUCCESS"'
check "  the disk was empty, and is formatted" says foodpipeline in_host blkid -p -s LABEL -o value /disk
check "  as XFS" says xfs in_host blkid -p -s TYPE -o value /disk
check "  it is mounted at every boot, before Docker" has /etc/fstab "LABEL=foodpipeline /var/lib/foodpipeline xfs"
check "  Docker needs it" has /etc/systemd/system/docker.service.d/foodpipeline.conf RequiresMountsFor=/var/lib/foodpipeline
check "  Docker was started after it was mounted" \
  bash -c "grep -n -E '^(mount |systemctl restart docker)' '$tmp/first.calls' | cut -d : -f 2 | cut -d ' ' -f 1 | tr '\n' ' ' | grep -qx 'mount systemctl '"
check "  daemon.json is JSON: logs rotate, containers live on" \
  in_host jq -e '."live-restore" and ."log-opts"."max-size" == "10m" and ."data-root" == "/var/lib/foodpipeline/docker"' /etc/docker/daemon.json
check "  swap of the size, for root alone" mode "600 root" /swapfile
check "  it is swap" says swap in_host blkid -p -s TYPE -o value /swapfile
check "  it is on" called '^swapon /swapfile$'
check "  and at every boot" has /etc/fstab "/swapfile none swap defaults 0 0"
for setting in "vm.max_map_count = 524288" "fs.file-max = 131072" "vm.swappiness = 10"; do
  check "  $setting" has /etc/sysctl.d/60-foodpipeline.conf "$setting"
done
check "  the settings are applied" called '^sysctl -q -p /etc/sysctl.d/60-foodpipeline.conf$'
check "  the secrets' directory is root's alone" mode "700 root" /etc/foodpipeline/secrets
for name in postgres orders_api relay projector query auditor; do
  check "  secret $name: 48 hexadecimal digits, to be read in containers" \
    bash -c "docker exec $container stat -c '%a' /etc/foodpipeline/secrets/$name | grep -qx 444 &&
      docker exec $container cat /etc/foodpipeline/secrets/$name | grep -qxE '[0-9a-f]{48}'"
done
check "  no two are the same" test "$(in_host bash -c 'cd /etc/foodpipeline/secrets && sha256sum * | cut -d " " -f 1 | sort -u | wc -l')" = 6
check "  what systemd says of the units: nothing" test -z "$(in_host bash -c 'systemd-analyze verify /etc/systemd/system/foodpipeline* 2>&1')"
check "  the backup is daily" says "Next elapse" in_host bash -c \
  "systemd-analyze calendar \"\$(sed -n 's/^OnCalendar=//p' /etc/systemd/system/foodpipeline-backup.timer)\""
check "  the pipeline starts at boot" called '^systemctl enable --quiet foodpipeline.service$'
check "  the timer runs" called '^systemctl enable --quiet --now foodpipeline-backup.timer$'
check "  the agent's configuration is JSON, with what the alarms look at" in_host jq -e \
  '.metrics.metrics_collected | .mem and .swap and .disk.drop_device and .disk.resources == ["/", "/var/lib/foodpipeline"]' \
  /opt/aws/amazon-cloudwatch-agent/etc/foodpipeline.json
check "  the agent was started with it" called '^amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:/opt/aws'
check "  the bucket was tried" called '^aws s3 ls s3://bucket/shop/releases/$'
check "  foodpipeline-host says that there is no release" refuses "no release is installed" in_host foodpipeline-host status

in_host rm /state/calls
check "a second run, with nothing in the environment but what it kept" \
  bash -c "docker exec --interactive '$container' bash < '$tmp/user-data.sh' | tee '$tmp/second.out'"
check "  changes nothing" not grep changed "$tmp/second.out"
tree > "$tmp/second"
check "  every file, mode and secret is the same" diff "$tmp/first" "$tmp/second"
calls > "$tmp/second.calls"
check "  nothing is installed, downloaded, restarted or signalled" \
  not grep -E '^(dnf|curl|mount |sysctl|systemctl (restart|daemon-reload)|amazon-cloudwatch)' "$tmp/second.calls"

in_host rm /state/calls
in_host touch /state/no-bucket
check "a host without its bucket" not boot
check "  fails the stack, and says where" called 'curl .*"Status": "FAILURE".*aws s3 ls +s3:'
finish
