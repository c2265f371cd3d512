# docker build -t threadcast .
FROM python:3.11-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/threadcast
WORKDIR /src
COPY setup.cfg pyproject.toml README.md cli.py server.py settings.py ./
COPY schemas schemas
COPY handlers handlers
COPY clients/js/src clients/js/src
COPY backends backends
COPY threadcast threadcast
RUN /opt/threadcast/bin/pip install '.[openai,postgres,redis]'

FROM python:3.11-slim-bookworm
COPY --from=build /opt/threadcast /opt/threadcast
# /data holds what the embedded database needs; with PostgreSQL it stays empty.
RUN install -d -o 10001 -g 10001 /data
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV PATH=/opt/threadcast/bin:$PATH PYTHONDONTWRITEBYTECODE=1 THREADCAST_HOST=0.0.0.0 THREADCAST_PORT=8000
EXPOSE 8000
STOPSIGNAL SIGTERM
# It listens only once it can serve. Not /readyz: a database that is away is no reason to restart a node.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from http.client import HTTPConnection as H; h = H('127.0.0.1', 8000, timeout=2); h.request('GET', '/healthz'); exit(h.getresponse().status != 200)"]
# Exec form: the process is the server itself, and hears SIGTERM.
ENTRYPOINT ["python", "-m", "server"]
CMD ["serve"]
