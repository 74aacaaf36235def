# One image for every service of docker-compose.yml: the `derelayl` command with what it needs.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential libgmp-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY protocol protocol
COPY node node
COPY simulations simulations
COPY contracts/artifacts contracts/artifacts
RUN python -m venv /opt/derelayl && /opt/derelayl/bin/pip install --no-cache-dir -c constraints.txt '.[devnet]'

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends libgmp10 && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 relay && install -d -o relay /data
COPY --from=build /opt/derelayl /opt/derelayl
ENV PATH=/opt/derelayl/bin:$PATH OMP_NUM_THREADS=1 MPLCONFIGDIR=/tmp
USER relay
VOLUME /data
ENTRYPOINT ["derelayl"]
