#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The images and compose.yaml for real: build, start without any account, call, restart, lose Redis, stop.
# Opt-in, as it builds images and starts containers: SLUICE_TEST_DOCKER=1 uses the daemon that runs;
# SLUICE_TEST_DOCKER=DIR starts one (engine.sh). Everything is named after this run and removed at its end.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

skip() {
    echo "SKIPPED: $*" >&2
    exit 77
}

case "${SLUICE_TEST_DOCKER:-}" in
"") skip "images and compose.yaml are tried only with SLUICE_TEST_DOCKER=1 (or =DIR for a daemon of its own)" ;;
1) ;;
*) SLUICE_TEST_DOCKER=1 exec "$here/engine.sh" "$SLUICE_TEST_DOCKER" "$0" "$@" ;;
esac
docker compose version >/dev/null 2>&1 || skip "docker compose (version 2.24 or later) is not installed"
docker info >/dev/null 2>&1 || skip "no Docker daemon answers"

step() { echo "--- $* (${SECONDS}s)"; }
fail() {
    echo "FAILED: $*" >&2
    docker compose ps -a >&2 || true
    docker compose logs --no-color --tail 40 >&2 || true
    exit 1
}

tag=t$$
work=$(mktemp -d)
export COMPOSE_PROJECT_NAME=sluice-$tag COMPOSE_FILE=$work/compose.yaml:$work/deploy/compose/demo.yaml
export SLUICE_CONTROL_IMAGE=sluice-control:$tag SLUICE_PROXY_IMAGE=sluice-proxy:$tag SLUICE_TOOLS_IMAGE=sluice-tools:$tag
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
SLUICE_PORT=$(free_port) SLUICE_ADMIN_PORT=$(free_port) SLUICE_OPS_PORT=$(free_port)
export SLUICE_PORT SLUICE_ADMIN_PORT SLUICE_OPS_PORT
cleanup() {
    docker compose --profile tools down -v --remove-orphans -t 5 >/dev/null 2>&1 || true
    docker image rm "$SLUICE_CONTROL_IMAGE" "$SLUICE_PROXY_IMAGE" "$SLUICE_TOOLS_IMAGE" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT

step "build"
cd "$root"
for target in control proxy tools; do
    DOCKER_BUILDKIT=1 docker build -q --target "$target" -t "sluice-$target:$tag" . >/dev/null || fail "build of $target"
done

# A copy, so that the .env is ours.
cp -r compose.yaml deploy "$work/"
echo "OPENAI_API_KEY=sk-test-not-a-key-0123456789" >"$work/.env"
cd "$work"

step "up"
docker compose up -d --wait --no-build || fail "up"

step "hello: the printed line works"
hello=$(docker compose run --rm hello) || fail "hello: $hello"
line=$(grep '^curl ' <<<"$hello") || fail "no curl line in: $hello"
answer=$(bash -c "${line/curl /curl -sS --fail-with-body -m 20 }") || fail "$line answered $answer"
grep -q '"Mock answer to: Hello' <<<"$answer" || fail "not the mock's answer: $answer"
key=$(sed -n "s/.*Bearer \([^']*\)'.*/\1/p" <<<"$line")

status() { # status EXTRA_CURL_ARGS...
    curl -s -o /dev/null -m 20 -w '%{http_code}' "http://127.0.0.1:$SLUICE_PORT/v1/chat/completions" \
        -H 'content-type: application/json' -d '{"model":"mock/gpt","messages":[{"role":"user","content":"x"}]}' "$@"
}
[ "$(status)" = 401 ] || fail "a caller without a key was not refused"
[ "$(status -H "authorization: Bearer $key")" = 200 ] || fail "the key does not work"
curl -sN -m 20 "http://127.0.0.1:$SLUICE_PORT/v1/chat/completions" -H "authorization: Bearer $key" \
    -H 'content-type: application/json' \
    -d '{"model":"mock/gpt","stream":true,"messages":[{"role":"user","content":"x"}]}' | tail -2 | grep -q 'data: \[DONE\]' ||
    fail "no stream"
curl -fsS "http://127.0.0.1:$SLUICE_OPS_PORT/metrics" | grep -q '^sluice_' || fail "no metrics"

step "who may what"
for service in redis control proxy mock; do
    [ "$(docker compose exec -T $service id -u)" != 0 ] || fail "$service runs as root"
    ! docker compose exec -T $service touch /x 2>/dev/null || fail "$service can write to its root"
done
[ "$(docker compose exec -T proxy ls /secrets | xargs)" = "cluster-secret control-public-key" ] || fail "secrets of the proxy"
docker compose exec -T control env | grep -q '^OPENAI_API_KEY=sk-test' || fail "the control plane has no provider key"
! docker compose exec -T proxy env | grep -q API_KEY || fail "the proxy has provider keys in its environment"
! docker compose logs --no-color 2>&1 | grep -q 'sk-test-not-a-key' || fail "a provider key is in the logs"
docker compose exec -T control sluice status >/dev/null || fail "sluice status"

step "restart of each; the key stays"
for service in control redis proxy; do
    docker compose restart $service >/dev/null 2>&1
    docker compose up -d --wait --no-build >/dev/null 2>&1 || fail "up after a restart of $service"
    [ "$(status -H "authorization: Bearer $key")" = 200 ] || fail "not served after a restart of $service"
done

step "proxies serve without the others"
docker compose stop -t 5 control redis >/dev/null 2>&1
[ "$(status -H "authorization: Bearer $key")" = 200 ] || fail "not served without a control plane"
docker compose restart proxy >/dev/null 2>&1
for _ in $(seq 50); do
    [ "$(status -H "authorization: Bearer $key")" = 200 ] && break
    sleep 0.1
done
[ "$(status -H "authorization: Bearer $key")" = 200 ] || fail "a proxy that restarted without a control plane does not serve"

step "an empty Redis is not taken for a new installation"
docker compose rm -sfv redis >/dev/null 2>&1
docker volume rm "${COMPOSE_PROJECT_NAME}_redis" >/dev/null
docker compose up -d --wait --no-build redis >/dev/null 2>&1 || fail "redis does not come back"
docker compose start control >/dev/null 2>&1
sleep 3 # long enough to do the wrong thing
[ "$(docker compose exec -T redis redis-cli dbsize | tr -dc 0-9)" = 0 ] || fail "the control plane wrote to an empty Redis"
! docker compose exec -T control curl -fsS http://127.0.0.1:8081/readyz >/dev/null 2>&1 || fail "the control plane says it is ready"
[ "$(status -H "authorization: Bearer $key")" = 200 ] || fail "not served while Redis is empty"

step "a person decides to begin anew"
docker compose exec -T control sluice recover --adopt >/dev/null || fail "recover --adopt"
docker compose up -d --wait --no-build >/dev/null 2>&1 || fail "up after recover --adopt"
hello=$(docker compose run --rm hello) || fail "hello after recover --adopt: $hello"
[ "$(status -H "authorization: Bearer $(sed -n "s/.*Bearer \([^']*\)'.*/\1/p" <<<"$hello")")" = 200 ] ||
    fail "a new key does not work after recover --adopt"
[ "$(status -H "authorization: Bearer $key")" = 401 ] || fail "a key that Redis has lost still works"

step "stop"
id=$(docker compose ps -q proxy)
docker compose stop proxy >/dev/null 2>&1
[ "$(docker inspect -f '{{.State.ExitCode}}' "$id")" = 0 ] || fail "the proxy did not end well"
step "done"
