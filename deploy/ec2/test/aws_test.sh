#!/usr/bin/env bash
# foodpipeline.sh with the real AWS command line against moto's server (aws_server.py), whose host is the stand-in project
# of host_test.sh on this machine: foodpipeline-host as user-data.sh writes it, with its directories elsewhere.
# VENV: a Python environment with awscli and moto[server]; run makes one.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
need_docker
[ "$(id -u)" = 0 ] || skip "run it as root: volumes are copied where Docker keeps them"
[ -x "${VENV:-}/bin/moto_server" ] || skip "VENV has no moto: make ec2-test"

project=foodpipeline-ec2-aws-test
server=
trap '[ -z "$server" ] || kill "$server"; forget_project; rm -rf "$tmp"' EXIT
forget_project

export PATH=$VENV/bin:$PATH
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE BUCKET STACK
port=${EC2_TEST_PORT:-7497}
export AWS_ENDPOINT_URL=http://127.0.0.1:$port FOODPIPELINE_POLL=0.2

# The host's command, cut out of user-data.sh, and what the first boot leaves.
mkdir -p "$tmp/bin" "$tmp/etc/secrets"
awk '/^END$/ && on { exit } on { print } /\/usr\/local\/sbin\/foodpipeline-host <</ { on = 1 }' "$ec2/user-data.sh" > "$tmp/bin/foodpipeline-host"
chmod +x "$tmp/bin/foodpipeline-host"
bucket=shop-123456789012-eu-west-1
printf 'STACK=shop\nBUCKET=%s\nAWS_DEFAULT_REGION=eu-west-1\n' "$bucket" > "$tmp/etc/host.env"
echo first > "$tmp/etc/secrets/postgres"

PATH=$tmp/bin:$PATH FOODPIPELINE_PROJECT=$project FOODPIPELINE_READY_WITHIN=60 \
  FOODPIPELINE_OPT=$tmp/opt FOODPIPELINE_ETC=$tmp/etc FOODPIPELINE_DATA=$tmp/data \
  python "$here/aws_server.py" "$port" > "$tmp/server.log" 2>&1 &
server=$!
timeout 60 bash -c "until curl -fs $AWS_ENDPOINT_URL/moto-api/ > /dev/null; do sleep 0.2; done" || {
  cat "$tmp/server.log"
  exit 1
}

fp() { "$ec2/foodpipeline.sh" "$@" --stack shop --yes; }
stack_is() { [ "$(aws cloudformation describe-stacks --stack-name shop --query 'Stacks[0].StackStatus' --output text)" = "$1" ]; }
resource() { aws cloudformation describe-stack-resource --stack-name shop --logical-resource-id "$1" \
  --query StackResourceDetail.PhysicalResourceId --output text; }
in_bucket() { aws s3 ls "s3://$bucket/shop/$1" | awk '{print $NF}'; }
in_use() { [ "$(readlink "$tmp/opt/current")" = "releases/$1" ]; }
user_data() {
  aws ec2 describe-instance-attribute --instance-id "$(resource Instance)" --attribute userData \
    --query UserData.Value --output text | base64 --decode
}
events() { wc -l < "$(docker volume inspect --format '{{.Mountpoint}}' "${project}_postgres-data")/events"; }

v1=$(bundle_of v1)
v2=$(bundle_of v2 SCHEMA=2)
v3=$(bundle_of v3 SCHEMA=3 BROKEN=yes)

check "without a stack, commands say so" refuses "there is no stack shop" fp status
check "a dry run shows and changes nothing" says "would run: aws cloudformation create-change-set" \
  fp deploy --version v1 --bundle "$v1" --dry-run
check "  no bucket" not aws s3api head-bucket --bucket "$bucket"
check "  no stack" not stack_is CREATE_COMPLETE

check "deploy" fp deploy --version v1 --bundle "$v1" --param AlarmEmail=ops@example.org
cp "$tmp/out" "$tmp/deploy.out"
[ "$failed" = 0 ] || { grep -A 60 Traceback "$tmp/server.log" || true; } | tail -n 80
[ "$failed" = 0 ] || finish # nothing of the rest can hold
check "  the stack is complete" stack_is CREATE_COMPLETE
check "  it waited for the host to be known to SSM" grep -q 'on the host: foodpipeline-host upgrade v1' "$tmp/deploy.out"
check "  the release is in the bucket" grep -qx v1.tar.gz <(in_bucket releases/)
check "  v1 is in use on the host" in_use v1
check "  it is a t2.small without a key, of the newest image that SSM names" \
  says "t2.small None $(aws ssm get-parameter --output text --query Parameter.Value \
    --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64)" \
  bash -c "aws ec2 describe-instances --instance-ids $(resource Instance) --output text \
    --query 'Reservations[0].Instances[0].[InstanceType, KeyName, ImageId]' | tr '\t' ' '"
check "  nothing may come in" test "$(aws ec2 describe-security-groups --group-ids "$(resource SecurityGroup)" \
  --query 'length(SecurityGroups[0].IpPermissions)')" = 0
check "  its role may put backups of this stack into the bucket" says "arn:aws:s3:::$bucket/shop/backups/*" \
  aws iam get-role-policy --role-name "$(resource Role)" --policy-name host
check "  the data disk is attached" says "$(resource Instance) /dev/sdf" \
  bash -c "aws ec2 describe-volumes --volume-ids $(resource DataVolume) --output text \
    --query 'Volumes[0].Attachments[0].[InstanceId, Device]' | tr '\t' ' '"
check "  the user data is user-data.sh behind its settings" \
  cmp <(user_data | tail -n +4) <(tail -n +2 "$ec2/user-data.sh")
check "  with the stack's values" says "export STACK='shop' BUCKET='$bucket' AWS_DEFAULT_REGION='eu-west-1'" user_data
check "  it parses, and fits into 16 KiB" bash -c "$(declare -f user_data resource); user_data | bash -n && size=\$(user_data | wc -c) && [ \$size -gt 8192 ] && [ \$size -lt 16384 ]"
check "  the bucket is private" says '"RestrictPublicBuckets": true' aws s3api get-public-access-block --bucket "$bucket"
check "  backups expire" says '"Days": 30' aws s3api get-bucket-lifecycle-configuration --bucket "$bucket"
check "  the host is protected" says '"Value": true' \
  aws ec2 describe-instance-attribute --instance-id "$(resource Instance)" --attribute disableApiTermination
# Of these moto only shows that they are asked for.
check "  eight alarms and a mail are in the change set" \
  test "$(grep -c -E '^Add.(.*Alarm.AWS::CloudWatch::Alarm|AlarmMail.AWS::SNS::Subscription)' "$tmp/deploy.out")" = 9

check "deploy again" fp deploy --version v1 --bundle "$v1"
cp "$tmp/out" "$tmp/again.out"
check "  the same instance" cmp <(grep -o 'instance  i-[0-9a-f]*' "$tmp/deploy.out") <(grep -o 'instance  i-[0-9a-f]*' "$tmp/again.out")
check "  the host was configured anew" grep -q "configured by" "$tmp/again.out"
check "  the stack was left alone" grep -q "the stack is as it should be" "$tmp/again.out"
check "  nothing was replaced on the host" grep -q "release v1 is in use already" "$tmp/again.out"

check "status shows stack, host and containers" says "stack     shop: " fp status
check "upgrade to v2" says "release v2 is in use" fp upgrade --version v2 --bundle "$v2"
check "  v2 is in use on the host" in_use v2
check "upgrade to a release that does not get ready fails, and says what the host said" \
  refuses "release v3 did not become ready (see above); v2 is in use again" fp upgrade --version v3 --bundle "$v3"
check "  v2 is in use on the host" in_use v2
check "rollback" says "release v1 is in use again" fp rollback
check "  v1 is in use on the host" in_use v1

check "backup" says "it is in s3://$bucket/shop/backups/" fp backup
check "  archive and checksum are in the bucket" test "$(in_bucket backups/ | wc -l)" = 2
check "  it counts as made" says BackupSucceeded aws cloudwatch list-metrics --namespace foodpipeline
check "backups lists it" says "-v1" fp backups
echo second > "$tmp/etc/secrets/postgres"
check "restore" says "restored and verified" fp restore latest
check "  the secrets are those of the backup" grep -qx first "$tmp/etc/secrets/postgres"
check "restore of a backup that is not there fails" refuses "exit code" fp restore 20000101T000000Z-v1
check "restore without a name is refused" refuses "takes the name of a backup" fp restore
check "no word gets past the shell" refuses "not a plain word" fp restore 'x; touch /tmp/x'

check "an unconfirmed remove does nothing" refuses "nothing was done" \
  bash -c "echo no | '$ec2/foodpipeline.sh' remove --stack shop"
check "  the stack is there" aws cloudformation describe-stacks --stack-name shop
instance=$(resource Instance)
check "remove" says "what stays" fp remove
check "  the stack is gone" not aws cloudformation describe-stacks --stack-name shop
check "  the instance is terminated" says terminated aws ec2 describe-instances --instance-ids "$instance"
check "  a last backup was made" test "$(in_bucket backups/ | grep -c 'gz$')" = 2
check "deploy after a remove" fp deploy --version v1
check "  has the backups still" says "-v1" fp backups
check "remove --purge" fp remove --purge
check "  the bucket is gone" not aws s3api head-bucket --bucket "$bucket"

[ "$failed" = 0 ] || grep -B 30 -E 'Traceback|Error' "$tmp/server.log" | tail -n 60
finish
