# CPU (the default):  docker build -t cortex:cpu .
# GPU:                docker build -t cortex:gpu --build-arg EXTRA=gpu .
#                     the CUDA 13 libraries come as wheels, so the host brings only the driver and its container toolkit
# s3:// and gs://:    docker build -t cortex:cpu --build-arg EXTRA=cpu,remote .
#
#   docker run --read-only --tmpfs /tmp -p 8000-8002:8000-8002 -v "$PWD/models:/models:ro" cortex:cpu
#
# The base is named by its minor version, so that a rebuild brings its security fixes; the packages are pinned
# by deploy/constraints.txt.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
ARG EXTRA=cpu
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY deploy/constraints.txt deploy/
COPY importer importer
COPY runtime runtime
COPY serving serving
RUN python -m venv /opt/cortex \
    && /opt/cortex/bin/pip install --no-cache-dir --disable-pip-version-check \
        --constraint deploy/constraints.txt ".[${EXTRA},trace]" \
    && /opt/cortex/bin/pip uninstall --yes --quiet pip

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/cortex /opt/cortex
ENV PATH=/opt/cortex/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CORTEX_SERVE_HOST=0.0.0.0
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin cortex
USER 10001
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["cortex-status", "--health"]
ENTRYPOINT ["cortex-serve"]
CMD ["/models"]
