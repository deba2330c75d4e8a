#!/usr/bin/env bash
# Makes a host of Amazon Linux 2023 ready for foodpipeline: packages, swap, kernel settings, data disk, Docker, secrets,
# units, monitoring. It starts no release: that is foodpipeline.sh's second step.
#
# Runs at the first boot as user data, with its settings in the environment (see template.yml), and again at every deploy,
# with those that the first run kept in host.env. What is there already is left alone; what is changed is printed. If
# SIGNAL_URL is set, the stack is told how it ended, and a failure ends the stack with the line that failed.
set -Eeuo pipefail
shopt -s inherit_errexit

etc=/etc/foodpipeline
data=/var/lib/foodpipeline
kept=$etc/host.env
# shellcheck source=/dev/null
[ ! -f "$kept" ] || { set -a && . "$kept" && set +a; }
: "${STACK:?}" "${BUCKET:?}" "${AWS_DEFAULT_REGION:?}" "${SWAP_MIB:?}"

# Amazon Linux packages no Compose. The checksum is pinned, not fetched along: it is the one in the
# Dockerfile of Docker's official image of that time.
compose_version=2.40.3
compose_sha256=dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372

changed() { echo "changed: $*"; }

# signal STATUS REASON: tells the stack, whose wait condition takes JSON at a signed URL.
signal() {
  [ -n "${SIGNAL_URL:-}" ] || return 0
  local reason
  reason=$(tr -c '[:alnum:]./:;=_ -' ' ' <<< "$2")
  curl -fsS --retry 5 -X PUT -H 'Content-Type:' "$SIGNAL_URL" \
    --data-binary "{\"Status\": \"$1\", \"UniqueId\": \"host\", \"Data\": \"\", \"Reason\": \"$reason\"}"
}
trap 'signal FAILURE "user-data.sh line $LINENO: $BASH_COMMAND: exit code $?; see /var/log/cloud-init-output.log"' ERR

# put MODE FILE: writes its input to the file. wrote says whether that changed it.
wrote=no
put() {
  local new
  new=$(mktemp)
  cat > "$new"
  wrote=no
  if ! cmp -s "$new" "$2"; then
    install -D -m "$1" "$new" "$2"
    wrote=yes
    changed "$2"
  fi
  rm "$new"
}

packages() {
  local wanted=(docker amazon-cloudwatch-agent diffutils openssl tar gzip xfsprogs)
  rpm -q "${wanted[@]}" > /dev/null || { dnf install -y -q "${wanted[@]}" && changed "packages ${wanted[*]}"; }
}

compose_plugin() {
  local plugin=/usr/local/lib/docker/cli-plugins/docker-compose new
  ! echo "$compose_sha256  $plugin" | sha256sum --check --status 2> /dev/null || return 0
  new=$(mktemp)
  curl -fsSL --retry 5 -o "$new" \
    "https://github.com/docker/compose/releases/download/v$compose_version/docker-compose-linux-x86_64"
  echo "$compose_sha256  $new" | sha256sum --check --status
  install -D -m 0755 "$new" "$plugin"
  rm "$new"
  changed "$plugin ($compose_version)"
}

# swap_file gives SonarQube's and Kafka's idle pages a place to go. dd, as a file with holes is no swap.
swap_file() {
  if [ ! -f /swapfile ]; then
    dd if=/dev/zero of=/swapfile.new bs=1M count="$SWAP_MIB" status=none
    chmod 0600 /swapfile.new
    mkswap /swapfile.new > /dev/null
    mv /swapfile.new /swapfile
    changed "/swapfile ($SWAP_MIB MiB)"
  fi
  line /etc/fstab '/swapfile none swap defaults 0 0'
  swapon --show=NAME --noheadings | grep -qx /swapfile || swapon /swapfile
}

line() { # FILE LINE: in it once
  grep -qxF "$2" "$1" || { echo "$2" >> "$1" && changed "$1"; }
}

# kernel: the first two are what SonarQube's search refuses to start without. Swap is for what sleeps, not for caches.
kernel() {
  put 0644 /etc/sysctl.d/60-foodpipeline.conf << 'END'
vm.max_map_count = 524288
fs.file-max = 131072
vm.swappiness = 10
END
  [ "$wrote" = no ] || sysctl -q -p /etc/sysctl.d/60-foodpipeline.conf
}

# data_disk mounts the volume that outlives the host. It is attached only after the instance runs, so that is waited for,
# and formatted only if nothing at all is on it. XFS, as its copies by reference make a backup's pause short.
data_disk() {
  local disk='' found=0 tries
  for ((tries = 0; tries < 150; tries++)); do
    for disk in /dev/sdf /dev/xvdf; do [ ! -e "$disk" ] || break 2; done
    disk=
    sleep 2
  done
  [ -n "$disk" ]
  blkid -p "$disk" > /dev/null || found=$?
  if ((found == 2)); then
    mkfs.xfs -q -L foodpipeline "$disk"
    changed "$disk (formatted)"
  fi
  line /etc/fstab "LABEL=foodpipeline $data xfs defaults,noatime,nofail,x-systemd.device-timeout=60s 0 2"
  mkdir -p "$data"
  mountpoint -q "$data" || mount "$data"
  xfs_growfs "$data" > /dev/null
}

# docker keeps everything on the data disk, and does not start without it: a host without its disk must not begin anew.
# Containers live on while the engine itself is replaced.
docker_engine() {
  local restart=no
  put 0644 /etc/systemd/system/docker.service.d/foodpipeline.conf << END
[Unit]
RequiresMountsFor=$data
END
  [ "$wrote" = no ] || restart=yes
  put 0644 /etc/docker/daemon.json << END
{
  "data-root": "$data/docker",
  "live-restore": true,
  "log-driver": "json-file",
  "log-opts": {"max-size": "10m", "max-file": "3"}
}
END
  [ "$wrote" = no ] || restart=yes
  [ "$restart" = no ] || { systemctl daemon-reload && systemctl restart docker; }
  systemctl enable --quiet --now docker
}

# secrets: one password a login, made once. The directory keeps other users of the host out; within containers each file
# is mounted by itself and read by users of several numbers, hence 0444.
secrets() {
  local name
  install -d -m 0700 "$etc" "$etc/secrets"
  for name in postgres orders_api relay projector query auditor; do
    [ ! -s "$etc/secrets/$name" ] || continue
    (umask 077 && openssl rand -hex 24 | tr -d '\n' > "$etc/secrets/.$name")
    chmod 0444 "$etc/secrets/.$name"
    mv "$etc/secrets/.$name" "$etc/secrets/$name"
    changed "$etc/secrets/$name"
  done
}

# settings keeps what the first boot was given, for later runs, the launcher and the host script.
settings() {
  put 0600 "$kept" << END
STACK=$STACK
BUCKET=$BUCKET
AWS_DEFAULT_REGION=$AWS_DEFAULT_REGION
SWAP_MIB=$SWAP_MIB
END
}

# launcher: the one command on the host that no release brings. It fetches releases and runs the host script of one.
launcher() {
  put 0755 /usr/local/sbin/foodpipeline-host << 'END'
#!/usr/bin/env bash
# foodpipeline-host ACTION...: runs the host script of the release in use, or that of the VERSION given, fetched first.
set -euo pipefail
opt=${FOODPIPELINE_OPT:-/opt/foodpipeline}
set -a && . "${FOODPIPELINE_ETC:-/etc/foodpipeline}/host.env" && set +a
release=$opt/current
if [[ ${1:-} =~ ^(install-release|configure|upgrade)$ ]]; then
  release=$opt/releases/${2:?VERSION}
  if [ ! -d "$release" ]; then
    mkdir -p "$opt/releases"
    new=$(mktemp -d "$opt/releases/.new.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    for file in "$2.tar.gz" "$2.tar.gz.sha256"; do
      aws s3 cp --only-show-errors "s3://$BUCKET/$STACK/releases/$file" "$new/$file"
    done
    (cd "$new" && sha256sum --check --quiet "$2.tar.gz.sha256")
    mkdir "$new/release"
    tar -xzf "$new/$2.tar.gz" -C "$new/release"
    mv "$new/release" "$release"
    rm -rf "$new"
  fi
fi
[ -e "$release" ] || { echo "error: no release is installed: foodpipeline.sh deploy" >&2; exit 1; }
exec "$(readlink -f "$release")/deploy/ec2/host.sh" "$@"
END
}

# units: Wants, not Requires, or a restart of the engine would stop what live-restore keeps running. Oneshot, as an attached
# "docker compose up" costs the memory of another program; the containers have their own restart policies.
units() {
  local reload=no
  put 0644 /etc/systemd/system/foodpipeline.service << 'END'
[Unit]
Description=Food order pipeline (docker compose)
Wants=docker.service network-online.target
After=docker.service network-online.target
ConditionPathExists=/opt/foodpipeline/current

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/foodpipeline-host up
ExecReload=/usr/local/sbin/foodpipeline-host up
ExecStop=/usr/local/sbin/foodpipeline-host stop
Restart=on-failure
RestartSec=30s
TimeoutStartSec=15min
TimeoutStopSec=2min

[Install]
WantedBy=multi-user.target
END
  [ "$wrote" = no ] || reload=yes
  put 0644 /etc/systemd/system/foodpipeline-backup.service << 'END'
[Unit]
Description=Backup of the food order pipeline to S3
After=docker.service foodpipeline.service
ConditionPathExists=/opt/foodpipeline/current

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/foodpipeline-host backup
TimeoutStartSec=2h
END
  [ "$wrote" = no ] || reload=yes
  put 0644 /etc/systemd/system/foodpipeline-backup.timer << 'END'
[Unit]
Description=Daily backup of the food order pipeline

[Timer]
OnCalendar=*-*-* 02:30:00 UTC
Persistent=yes

[Install]
WantedBy=timers.target
END
  [ "$wrote" = no ] || reload=yes
  [ "$reload" = no ] || systemctl daemon-reload
  systemctl enable --quiet foodpipeline.service
  systemctl enable --quiet --now foodpipeline-backup.timer
}

# monitoring: four metrics, those that template.yml has alarms on.
monitoring() {
  local agent=/opt/aws/amazon-cloudwatch-agent restart=no
  put 0644 "$agent/etc/foodpipeline.json" << END
{
  "agent": {"metrics_collection_interval": 60},
  "metrics": {
    "namespace": "CWAgent",
    "append_dimensions": {"InstanceId": "\${aws:InstanceId}"},
    "metrics_collected": {
      "mem": {"measurement": ["mem_used_percent"]},
      "swap": {"measurement": ["swap_used_percent"]},
      "disk": {"measurement": ["disk_used_percent"], "resources": ["/", "$data"], "drop_device": true}
    }
  }
}
END
  [ "$wrote" = no ] || restart=yes
  if [ "$restart" = yes ] || ! systemctl is-active --quiet amazon-cloudwatch-agent; then
    "$agent/bin/amazon-cloudwatch-agent-ctl" -a fetch-config -m ec2 -s -c "file:$agent/etc/foodpipeline.json"
  fi
}

# check holds what a deploy builds on, so that the stack fails now and not then.
check() {
  docker info > /dev/null
  docker compose version
  systemctl is-active --quiet amazon-ssm-agent
  aws s3 ls "s3://$BUCKET/$STACK/releases/" > /dev/null
}

packages
compose_plugin
swap_file
kernel
data_disk
docker_engine
secrets
settings
launcher
units
monitoring
check
signal SUCCESS "host is ready"
echo "host is ready"
