# CPU (the default):  docker build -t cortex .
# GPU:                docker build -t cortex:gpu --build-arg EXTRA=gpu .
#                     the CUDA 13 libraries come as wheels, so the host brings only the driver and its container toolkit
#
#   docker run -p 8000:8000 -p 8001:8001 -p 8002:8002 -v "$PWD/models:/models:ro" cortex

ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
ARG EXTRA=cpu
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY importer importer
COPY runtime runtime
COPY serving serving
# The same step as `make image-root`, which tries it without a Docker engine.
RUN python -m venv /opt/cortex \
    && /opt/cortex/bin/pip install --no-cache-dir --disable-pip-version-check ".[${EXTRA}]"

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/cortex /opt/cortex
ENV PATH=/opt/cortex/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CORTEX_SERVE_HOST=0.0.0.0
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin cortex
USER 10001
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["cortex-serve"]
CMD ["/models"]
