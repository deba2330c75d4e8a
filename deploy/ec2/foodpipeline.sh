#!/usr/bin/env bash
# foodpipeline.sh: the pipeline on one small EC2 host, one command for each thing that is done to it.
#
#   deploy            make the bucket, the stack and the host, or bring them up to date, then upgrade
#   upgrade           build this checkout, bring it to the host, replace what runs; back by itself if it does not get ready
#   rollback          the release before
#   backup            stop for seconds, copy databases and topic together, go on; the copy goes to the bucket
#   backups           list them
#   restore NAME      a backup's state: its name, latest, or previous to undo the last restore
#   status            stack, alarms, containers, memory, disks, newest backup
#   remove            a last backup, then delete the stack. Bucket, backups and a snapshot of the data disk stay
#   render            print the template with its user data
#
#   --stack NAME      foodpipeline          --region REGION   as the AWS command line has it
#   --bucket NAME     STACK-ACCOUNT-REGION  --param KEY=VALUE of template.yml, again and again (deploy)
#   --version NAME    git describe          --bundle FILE     made before by bundle.sh (deploy, upgrade)
#   --yes             ask nothing           --dry-run         look, and show what would be changed
#   --no-backup       without the last one  --purge           bucket, backups and snapshots too (remove)
#
# Needs the AWS command line (1 or 2) with credentials, and for deploy and upgrade Docker and git.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "$0")" && pwd)
stack=foodpipeline
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-}}
bucket='' version='' bundle='' instance=''
params=()
yes=no dry_run=no last_backup=yes purge=no
poll=${FOODPIPELINE_POLL:-3} # seconds between two looks at a command on the host
export AWS_PAGER=

# shellcheck source-path=SCRIPTDIR source=lib/aws.sh
. "$here/lib/aws.sh"

usage() { sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"; }

# find_version: a release has a name that says what is in it.
find_version() {
  local dirty
  if [ -z "$version" ]; then
    version=$(git -C "$here" describe --tags --always)
    dirty=$(git -C "$here" status --porcelain)
    [ -z "$dirty" ] || fail "there are changes that are not committed: commit them, or name this release with --version"
  fi
  [[ $version =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$ ]] || fail "not a version: $version"
}

# bring puts the release into the bucket, if it is not there.
bring() {
  local key=$stack/releases/$version.tar.gz made=
  if aws s3api head-object --bucket "$bucket" --key "$key" > /dev/null 2>&1; then
    say "release $version is in the bucket already"
    return
  fi
  if [ -z "$bundle" ]; then
    made=$(mktemp -d)
    bundle=$made/$version.tar.gz
    say "build release $version"
    act "$here/bundle.sh" "$version" "$bundle" >&2
  fi
  say "to s3://$bucket/$key"
  # The checksum last: with it the release is whole.
  act aws s3 cp --only-show-errors "$bundle" "s3://$bucket/$key"
  [ "$dry_run" = yes ] || echo "$(sha256sum < "$bundle" | cut -d ' ' -f 1)  $version.tar.gz" |
    aws s3 cp --only-show-errors - "s3://$bucket/$key.sha256"
  [ -z "$made" ] || rm -rf "$made"
}

deploy() {
  local existing
  find_version
  existing=$(parameter Bucket)
  bucket=${existing:-${bucket:-$stack-$(aws sts get-caller-identity --query Account --output text)-$region}}
  ensure_bucket
  bring
  deploy_stack
  [ "$dry_run" = no ] || return 0
  need_stack
  [ -z "$existing" ] || on_host configure "$version"
  on_host upgrade "$version"
  status
}

upgrade() {
  find_version
  need_stack
  bring
  on_host upgrade "$version"
}

status() {
  need_stack
  echo "stack     $stack: $(of_stack StackStatus), $region"
  echo "instance  $instance: $(aws ec2 describe-instances --instance-ids "$instance" --output text \
    --query 'Reservations[0].Instances[0].[State.Name, InstanceType]' | tr '\t' ' ')"
  echo "bucket    $bucket"
  echo "alarms    $(aws cloudwatch describe-alarms --alarm-name-prefix "$stack-" --state-value ALARM --output text \
    --query 'MetricAlarms[].AlarmName' | tr '\t' ' ')"
  on_host status
}

remove() {
  local volume
  need_stack
  volume=$(resource DataVolume)
  confirm "This deletes the host $instance of stack $stack.$([ "$purge" = no ] || echo " And all its backups.")" "$stack"
  [ "$last_backup" = no ] || [ "$purge" = yes ] || on_host backup
  unprotect
  act aws cloudformation delete-stack --stack-name "$stack"
  say "wait for the stack to be gone"
  act aws cloudformation wait stack-delete-complete --stack-name "$stack"
  if [ "$purge" = no ]; then
    say "what stays: s3://$bucket/$stack/ and a snapshot of the data disk $volume. To remove them: remove --purge"
    return
  fi
  purge "$volume"
}

# purge takes away what outlives the stack.
purge() {
  local snapshot
  for snapshot in $(aws ec2 describe-snapshots --owner-ids self --filters "Name=volume-id,Values=$1" \
    --query 'Snapshots[].SnapshotId' --output text); do
    act aws ec2 delete-snapshot --snapshot-id "$snapshot"
  done
  act aws s3 rm --only-show-errors --recursive "s3://$bucket/$stack/"
  act aws s3api delete-bucket --bucket "$bucket" || say "bucket $bucket stays: something else is in it"
}

action=${1:-help}
[ $# -eq 0 ] || shift
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --stack) stack=${2:?} && shift ;;
    --region) region=${2:?} && shift ;;
    --bucket) bucket=${2:?} && shift ;;
    --version) version=${2:?} && shift ;;
    --bundle) bundle=${2:?} && shift ;;
    --param) params+=("${2:?}") && shift ;;
    --yes) yes=yes ;;
    --dry-run) dry_run=yes ;;
    --no-backup) last_backup=no ;;
    --purge) purge=yes ;;
    -*) fail "unknown flag $1: foodpipeline.sh help" ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

case $action in
  help | --help | -h)
    usage
    exit
    ;;
  render)
    render
    exit
    ;;
  restore) [ ${#arguments[@]} -eq 1 ] || fail "restore takes the name of a backup, latest or previous: see foodpipeline.sh backups" ;;
  deploy | upgrade | rollback | backup | backups | status | remove)
    [ ${#arguments[@]} -eq 0 ] || fail "$action takes no argument: ${arguments[*]}" ;;
  *) fail "unknown command $action: foodpipeline.sh help" ;;
esac

command -v aws > /dev/null || fail "the AWS command line is needed: pip install awscli"
region=${region:-$(aws configure get region || true)}
[ -n "$region" ] || fail "which region? Give --region, or set AWS_REGION"
export AWS_REGION=$region AWS_DEFAULT_REGION=$region

case $action in
  deploy | upgrade | status | remove) "$action" ;;
  restore)
    need_stack
    confirm "This replaces databases and topic of $stack by backup ${arguments[0]}." "$stack"
    on_host restore "${arguments[0]}"
    ;;
  *)
    need_stack
    on_host "$action"
    ;;
esac
