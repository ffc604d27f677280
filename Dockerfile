# Server, worker and migration: one image, three commands. Hashed requirements and the wheel in one
# virtual environment, no compiler, no root. What is kept lies in /data; your own channels are
# mounted on /plugins.

ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements-celery.txt requirements-build.txt ./
RUN python -m venv /opt/almenara \
 && /opt/almenara/bin/pip install --only-binary :all: --require-hashes -r requirements-celery.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --only-binary :all: --require-hashes -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY almenara almenara
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist . \
 && /opt/almenara/bin/pip install --no-deps --no-index /dist/almenara-*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="almenara" \
      org.opencontainers.image.description="A self-hosted notification router: a message in over HTTP, out by Slack, mail and any channel you write, with a log that proves it." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
RUN groupadd --gid 10001 almenara \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin almenara \
 && install --directory --owner 10001 --group 10001 --mode 0700 /data \
 && install --directory /plugins
COPY --from=build /opt/almenara /opt/almenara
ENV PATH=/opt/almenara/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ALMENARA_DATA_DIR=/data \
    ALMENARA_PLUGINS_DIR=/plugins
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# Right for a server, which is asked over HTTP, and for a worker, which has no port.
HEALTHCHECK --interval=20s --timeout=10s --start-period=30s --retries=3 CMD ["almenara", "alive"]
# SIGTERM reaches the server itself, which drains; no shell stands between.
ENTRYPOINT ["almenara"]
# `serve` is what it does unless told otherwise; `worker` and `migrate` are the other two.
# --insecure: until you say whose tokens are trusted (ALMENARA_JWT_ISSUER), publish the port on
# 127.0.0.1 only.
CMD ["serve", "--host", "0.0.0.0", "--insecure"]
