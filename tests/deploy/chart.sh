#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The chart without a cluster: lint, rendering of several sets of values, refusals of the schema.
# Needs helm (3.6 or later); SLUICE_HELM names another command.
set -euo pipefail

chart=$(cd "$(dirname "$0")/../../helm/sluice" && pwd)
helm=${SLUICE_HELM:-helm}
if ! command -v "${helm%% *}" >/dev/null; then
    echo "SKIPPED: helm is not installed: the chart was not rendered" >&2
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
    echo "FAILED: $*" >&2
    failed=1
}

$helm lint --strict "$chart" --set existingSecret=s >"$work/lint" || fail "lint: $(cat "$work/lint")"

render() { # render NAME --set ...
    local name=$1
    shift
    $helm template r "$chart" --set existingSecret=s "$@" >"$work/$name" || fail "template $name"
}
has() { grep -qF -- "$2" "$work/$1" || fail "$1: no '$2'"; }
hasnt() { ! grep -qF -- "$2" "$work/$1" || fail "$1: '$2'"; }

render plain
for text in 'mode: required' 'drain-delay: 5s' 'runAsNonRoot: true' 'readOnlyRootFilesystem: true' '- --init' \
    'value: redis://r-sluice-redis:6379/0' 'kind: StatefulSet' 'terminationGracePeriodSeconds: 45'; do
    has plain "$text"
done
# The proxy's pods are given two of the secrets, the control plane's all.
[ "$(grep -c 'secretName: s' "$work/plain")" = 2 ] || fail "plain: who has the secret"
has plain '{key: cluster-secret, path: cluster-secret}'
hasnt plain 'key: master-key'

render external --set redis.enabled=false,externalRedis.secret=db,control.init=false,control.persistence.enabled=false
has external 'secretKeyRef: {name: "db", key: "url"}'
hasnt external redis-server
hasnt external '- --init'
hasnt external volumeClaimTemplates

render more --set providerKeysSecret=keys,proxy.replicas=3,control.replicas=2,proxy.workers=4 \
    --set config.routers.production.load-balance.chat.strategy=latency --set 'imagePullSecrets[0].name=pull'
for text in 'secretRef: {name: "keys"}' 'replicas: 3' '- --workers' 'strategy: latency' '- name: pull'; do
    has more "$text"
done

# Only a change in the proxies' own sections restarts them.
sums() { grep -A1 'annotations:' "$work/$1" | grep checksum | sort -u; }
render routers --set config.routers.a.load-balance.chat.strategy=latency
render limits --set config.server.max-body=1MiB
[ "$(comm -12 <(sums plain) <(sums routers) | wc -l)" = 1 ] || fail "a new router restarts the proxies"
[ "$(comm -12 <(sums plain) <(sums limits) | wc -l)" = 0 ] || fail "a new max-body does not restart the proxies"

refused() { # refused VALUES WORD
    if $helm template r "$chart" --set "$1" >"$work/out" 2>&1; then
        fail "accepted: $1"
    elif ! grep -qF -- "$2" "$work/out"; then
        fail "$1: the message does not name $2: $(tail -3 "$work/out")"
    fi
}
refused control.replicas=1 existingSecret
refused existingSecret=s,config.auth.mode=off mode
refused existingSecret=s,config.auth.mode=optional mode
refused existingSecret=s,redis.enabled=false secret
refused existingSecret=s,proxy.replicas=-1 replicas
refused existingSecret=s,proxxy.replicas=1 proxxy
refused existingSecret=s,config.server.port=81 port
refused existingSecret=s,proxy.image.pullPolicy=Sometimes pullPolicy
refused existingSecret=s,redis.persistence.size=big size

exit $failed
