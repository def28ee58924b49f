# The worker, and the command line. Built from the committed lock; runs as nobody in particular.
#
# EXTRAS="--extra redis --extra claude" adds the Claude Agent SDK with its command line (another 350 MB).

FROM python:3.13.7-slim-bookworm AS build
ARG EXTRAS="--extra redis"
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.8
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-cache ${EXTRAS}

FROM python:3.13.7-slim-bookworm
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CALLBOARD_HOME=/data
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin callboard \
    && install --directory --owner=callboard --group=callboard --mode=0750 /data
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY activities activities
COPY client client
COPY config config
COPY contracts contracts
COPY providers providers
COPY rules rules
COPY serving serving
COPY stores stores
COPY toolbox toolbox
COPY workflows workflows
COPY examples examples
COPY deploy/polling.py deploy/polling.py
COPY starter.py worker.py ./
# Who runs it may write nothing here: without this every start would compile all of it again.
RUN .venv/bin/python -m compileall -q activities client config contracts providers rules serving \
    stores toolbox workflows starter.py worker.py
USER 10001:10001
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/.venv/bin/python"]
CMD ["worker.py"]
