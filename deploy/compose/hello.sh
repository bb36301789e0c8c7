#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a virtual key and prints a curl line that works with it. MODEL: the first one on offer, unless set.
set -eu

key=$(sluice keys create --name "hello-$(date +%Y%m%d-%H%M%S)" --wait 5s -o json |
    sed -n 's/.*"key" *: *"\(sk-sluice-[^"]*\)".*/\1/p')
if [ -z "$key" ]; then
    echo "hello: the control plane gave no key" >&2
    exit 1
fi
model=${MODEL:-$(curl -fsS http://proxy:8080/v1/models -H "authorization: Bearer $key" |
    grep -o '"id" *: *"[^"]*"' | grep -v embed | sed -n '1s/.*"\([^"]*\)"$/\1/p')}
if [ -z "$model" ]; then
    echo "hello: no provider has a key: put OPENAI_API_KEY=... into .env and run docker compose up -d --wait again," >&2
    echo "hello: or start the demo (compose.yaml says how)" >&2
    exit 1
fi
cat <<END
# virtual key: $key   (docker compose exec control sluice keys list)
curl http://localhost:$SLUICE_PORT/v1/chat/completions -H 'Authorization: Bearer $key' -H 'Content-Type: application/json' -d '{"model":"$model","messages":[{"role":"user","content":"Hello"}]}'
END
