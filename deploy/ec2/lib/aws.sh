# What foodpipeline.sh knows of AWS: to ask, to act, to deploy a stack, to run a command on the host. Sourced by it.
# shellcheck shell=bash disable=SC2154 # its variables are foodpipeline.sh's

say() { echo "==> $*" >&2; }
fail() {
  echo "error: $*" >&2
  exit 1
}

# act COMMAND...: runs what changes something, or shows it in a dry run.
act() {
  if [ "$dry_run" = yes ]; then
    printf 'would run:%s\n' "$(printf ' %q' "$@")" >&2
  else
    "$@"
  fi
}

confirm() { # QUESTION WORD
  [ "$yes" = no ] || return 0
  local answer=
  read -rp "$1 Type $2 to go on: " answer || true
  [ "$answer" = "$2" ] || fail "nothing was done"
}

# --- the stack ------------------------------------------------------------------------------------------------------

# of_stack QUERY: about the stack, as text. Nothing if there is no stack.
of_stack() {
  local out
  if ! out=$(aws cloudformation describe-stacks --stack-name "$stack" --query "Stacks[0].$1" --output text 2>&1); then
    [[ $out == *"does not exist"* ]] || fail "$out"
    return 0
  fi
  [ "$out" = None ] || echo "$out"
}

parameter() { of_stack "Parameters[?ParameterKey=='$1'].ParameterValue | [0]"; }

# resource NAME: the id of one of the stack's resources.
resource() {
  aws cloudformation describe-stack-resource --stack-name "$stack" --logical-resource-id "$1" \
    --query StackResourceDetail.PhysicalResourceId --output text
}

# need_stack sets instance and bucket, those of a stack that is there.
need_stack() {
  bucket=$(parameter Bucket)
  [ -n "$bucket" ] || fail "there is no stack $stack in $region: foodpipeline.sh deploy"
  instance=$(resource Instance)
}

# render prints the template with user-data.sh in it.
render() {
  awk -v script="$here/user-data.sh" '
    /# user-data.sh is put in here/ {
      match($0, /^ */)
      indent = substr($0, 1, RLENGTH)
      getline line < script # all but its first line, which calls the shell
      while ((getline line < script) > 0) print (line == "" ? "" : indent line)
      next
    }
    { print }' "$here/template.yml"
}

# network prints the default VPC and a subnet of it, in a zone that has the instance type: not every zone has old types.
network() {
  local type=$1 vpc zones
  vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
  [ "$vpc" != None ] || fail "there is no default VPC in $region: give --param VpcId=... --param SubnetId=..."
  zones=$(aws ec2 describe-instance-type-offerings --location-type availability-zone \
    --filters "Name=instance-type,Values=$type" --query 'InstanceTypeOfferings[].Location' --output text | tr '\t' ,)
  echo "$vpc"
  aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" Name=default-for-az,Values=true \
    "Name=availability-zone,Values=$zones" --query 'sort_by(Subnets, &AvailabilityZone)[0].SubnetId' --output text
}

newest_image() {
  aws ssm get-parameter --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64 \
    --query Parameter.Value --output text
}

# parameters prints the stack's, one a line: what was given, before that what the stack has, before that what is found.
parameters() {
  local -A given=()
  local pair key found
  for pair in "${params[@]}"; do given[${pair%%=*}]=${pair#*=}; done
  if [ -n "$(of_stack StackStatus)" ]; then
    for key in $(of_stack 'Parameters[].ParameterKey'); do
      [ -n "${given[$key]+x}" ] || echo "ParameterKey=$key,UsePreviousValue=true"
    done
  else
    [ -n "${given[ImageId]:-}" ] || given[ImageId]=$(newest_image)
    if [ -z "${given[SubnetId]:-}" ]; then
      found=$(network "${given[InstanceType]:-t2.small}")
      mapfile -t found <<< "$found"
      given[VpcId]=${found[0]}
      given[SubnetId]=${found[1]}
    fi
    given[Bucket]=$bucket
  fi
  for key in "${!given[@]}"; do echo "ParameterKey=$key,ParameterValue=${given[$key]}"; done
}

# deploy_stack creates or updates the stack, by a change set that is shown first.
deploy_stack() {
  local kind=UPDATE template set=deploy-$$ list status
  status=$(of_stack StackStatus)
  if [ "$status" = ROLLBACK_COMPLETE ] || [ "$status" = REVIEW_IN_PROGRESS ]; then
    say "delete what a deploy that came to nothing left"
    act aws cloudformation delete-stack --stack-name "$stack"
    act aws cloudformation wait stack-delete-complete --stack-name "$stack"
    status=
  fi
  [ -n "$status" ] || kind=CREATE
  template=$(mktemp)
  render > "$template"
  list=$(parameters)
  mapfile -t list <<< "$list"
  printf '%s\n' "${list[@]}" >&2
  act aws cloudformation create-change-set --stack-name "$stack" --change-set-name "$set" --change-set-type "$kind" \
    --template-body "file://$template" --capabilities CAPABILITY_IAM --parameters "${list[@]}" \
    --tags "Key=application,Value=foodpipeline" > /dev/null
  [ "$dry_run" = no ] || return 0
  rm "$template"
  if ! aws cloudformation wait change-set-create-complete --stack-name "$stack" --change-set-name "$set" 2> /dev/null; then
    no_changes "$set" && return
    fail "change set: $(about_set "$set" StatusReason)"
  fi
  about_set "$set" 'Changes[].ResourceChange.[Action,LogicalResourceId,ResourceType,Replacement]'
  if about_set "$set" 'Changes[].ResourceChange.[Action,LogicalResourceId]' | grep -qE '^(Modify|Remove)[[:space:]]+Instance$'; then
    confirm "The instance is changed: it is stopped and started for that." restart
  fi
  aws cloudformation execute-change-set --stack-name "$stack" --change-set-name "$set"
  say "wait for the stack: a first time some five minutes, until the host says that it is ready"
  if ! aws cloudformation wait "stack-${kind,,}-complete" --stack-name "$stack"; then
    aws cloudformation describe-stack-events --stack-name "$stack" --output text \
      --query "StackEvents[?contains(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]" >&2
    fail "the stack was rolled back"
  fi
  [ "$kind" = UPDATE ] || protect
}

about_set() {
  aws cloudformation describe-change-set --stack-name "$stack" --change-set-name "$1" --query "$2" --output text
}

no_changes() {
  local reason
  reason=$(about_set "$1" StatusReason)
  [[ $reason == *"didn't contain changes"* || $reason == *"No updates"* ]] || return 1
  aws cloudformation delete-change-set --stack-name "$stack" --change-set-name "$1"
  say "the stack is as it should be"
}

# protect lets nobody terminate the host, delete the stack, or replace host or disk by an update. After the host is there
# and not in the template: a protected instance could not be rolled back.
protect() {
  local id
  id=$(resource Instance)
  aws ec2 modify-instance-attribute --instance-id "$id" --disable-api-termination
  aws cloudformation update-termination-protection --stack-name "$stack" --enable-termination-protection > /dev/null
  aws cloudformation set-stack-policy --stack-name "$stack" --stack-policy-body '{"Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"},
    {"Effect": "Deny", "Principal": "*", "Action": ["Update:Replace", "Update:Delete"],
     "Resource": ["LogicalResourceId/Instance", "LogicalResourceId/DataVolume"]}]}'
}

unprotect() {
  act aws ec2 modify-instance-attribute --instance-id "$instance" --no-disable-api-termination
  act aws cloudformation update-termination-protection --stack-name "$stack" --no-enable-termination-protection > /dev/null
}

# --- the bucket -----------------------------------------------------------------------------------------------------

# ensure_bucket makes the bucket if it is not there: private, by TLS only, backups for 30 days.
ensure_bucket() {
  local location=()
  ! aws s3api head-bucket --bucket "$bucket" > /dev/null 2>&1 || return 0
  [ "$region" = us-east-1 ] || location=(--create-bucket-configuration "LocationConstraint=$region")
  say "make bucket $bucket"
  act aws s3api create-bucket --bucket "$bucket" "${location[@]}" > /dev/null
  act aws s3api put-public-access-block --bucket "$bucket" --public-access-block-configuration \
    BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true
  act aws s3api put-bucket-policy --bucket "$bucket" --policy '{"Version": "2012-10-17", "Statement": [{
    "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    "Resource": ["arn:aws:s3:::'"$bucket"'", "arn:aws:s3:::'"$bucket"'/*"]}]}'
  act aws s3api put-bucket-lifecycle-configuration --bucket "$bucket" --lifecycle-configuration '{"Rules": [
    {"ID": "backups", "Status": "Enabled", "Filter": {"Prefix": "'"$stack"'/backups/"}, "Expiration": {"Days": 30}},
    {"ID": "uploads", "Status": "Enabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}]}'
}

# --- the host -------------------------------------------------------------------------------------------------------

# on_host ACTION...: runs foodpipeline-host there, over SSM, shows what it prints, and returns its exit code.
on_host() {
  local command="foodpipeline-host $*" id state
  [[ $command =~ ^[A-Za-z0-9._:\ -]+$ ]] || fail "not a plain word in: $command"
  say "on the host: $command"
  if [ "$dry_run" = yes ]; then return; fi
  id=$(send "PATH=/usr/local/sbin:/usr/local/bin:\$PATH $command")
  while state=$(about_command "$id" Status) && [[ $state =~ ^(Pending|InProgress|Delayed)$ ]]; do sleep "$poll"; done
  about_command "$id" StandardOutputContent
  about_command "$id" StandardErrorContent >&2
  [ "$state" = Success ] || fail "on the host: $command: $state, exit code $(about_command "$id" ResponseCode)"
}

# send COMMAND: prints the id. A host that has just booted is not known to SSM yet.
send() {
  local out tries
  for ((tries = 0; tries < 60; tries++)); do
    if out=$(aws ssm send-command --instance-ids "$instance" --document-name AWS-RunShellScript --timeout-seconds 300 \
      --parameters "commands=[\"$1\"],executionTimeout=[\"3600\"]" --query Command.CommandId --output text 2>&1); then
      echo "$out"
      return
    fi
    [[ $out == *InvalidInstanceId* ]] || fail "$out"
    sleep "$poll"
  done
  fail "the host $instance is not known to SSM: does it run, and can it reach the internet?"
}

about_command() {
  aws ssm get-command-invocation --command-id "$1" --instance-id "$instance" --query "$2" --output text
}
