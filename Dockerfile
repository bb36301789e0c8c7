# SPDX-License-Identifier: Apache-2.0
# Three images from one build: `--target proxy` (sluice-proxy), `--target control` (sluice-control and the
# sluice tool) and `--target tools` (sluice, sluice-mock). Nobody in them is root and nothing but /data is written
# to, so they run with a read-only root and no capabilities (compose.yaml, helm/sluice).
FROM debian:bookworm-slim AS build
RUN apt-get -o Acquire::Retries=5 update \
    && apt-get -o Acquire::Retries=5 install -y --no-install-recommends gcc libc6-dev cmake ninja-build pkg-config \
      libmicrohttpd-dev libcurl4-openssl-dev libjansson-dev libhiredis-dev libyaml-dev libnanomsg-dev \
      libprotobuf-c-dev protobuf-c-compiler libsodium-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cmake --preset release && cmake --build --preset release --target sluice sluice-proxy sluice-control sluice-mock \
    && DESTDIR=/out cmake --install build/release --prefix /usr --strip

FROM debian:bookworm-slim AS base
# curl is for the health checks; its library is needed anyway.
RUN apt-get -o Acquire::Retries=5 update \
    && apt-get -o Acquire::Retries=5 install -y --no-install-recommends libmicrohttpd12 libcurl4 libjansson4 \
      libhiredis0.14 libyaml-0-2 libnanomsg5 libprotobuf-c1 libsodium23 ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 65532 sluice \
    && useradd --system --uid 65532 --gid 65532 --no-create-home --home-dir /data --shell /usr/sbin/nologin sluice \
    && install -d -o sluice -g sluice -m 700 /data /secrets
USER 65532:65532
# State of the program. A fresh named volume gets this directory's owner.
VOLUME /data
LABEL org.opencontainers.image.title="Sluice" org.opencontainers.image.licenses="Apache-2.0"

FROM base AS tools
COPY --from=build /out/usr/bin/sluice /out/usr/bin/sluice-mock /usr/bin/
CMD ["sluice", "--help"]

FROM base AS control
COPY --from=build /out/usr/bin/sluice /out/usr/bin/sluice-control /usr/bin/
# Admin API; PUB, REP and PULL for the proxies.
EXPOSE 8081 7400 7401 7402
ENTRYPOINT ["sluice-control"]
CMD ["--help"]

FROM base AS proxy
COPY --from=build /out/usr/bin/sluice-proxy /usr/bin/
# Clients; metrics and probes.
EXPOSE 8080 9464
ENTRYPOINT ["sluice-proxy"]
CMD ["--help"]
