#!/usr/bin/env bash
# Makes the Secrets of the Postgres logins, each with a random password, in the namespace of the current context's cluster
# that is given (foodpipeline). Those that are there are left as they are. The logins of Kafka are Strimzi's to make.
set -euo pipefail
namespace=${1:-foodpipeline}

for login in schema_owner orders_api relay projector query auditor; do
  secret=postgres-${login//_/-}
  if kubectl -n "$namespace" get secret "$secret" > /dev/null 2>&1; then
    echo "$secret is there"
    continue
  fi
  # By way of standard input: what is on a command line can be read by others.
  password=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
  kubectl -n "$namespace" create -f - << EOF
apiVersion: v1
kind: Secret
type: kubernetes.io/basic-auth
metadata:
  name: $secret
  labels: {cnpg.io/reload: "true"}
stringData: {username: $login, password: "$password"}
EOF
done
