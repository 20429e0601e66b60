# One image for every service; the first argument says which: `hubbub run presence`.
#
#   docker build -t hubbub:dev .
#
# Behind a package mirror: --build-arg PIP_INDEX_URL=…, or a pip.conf in the base image.

ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# What others wrote changes seldom: a layer of its own, made from the one list of dependencies.
COPY pyproject.toml ./
RUN python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; \
print('\n'.join([*project['dependencies'], *extras['tracing'], *extras.get('operator', [])]))" \
    > requirements.txt \
    && python -m pip wheel --wheel-dir /wheels --requirement requirements.txt

COPY README.md LICENSE ./
COPY libs/common/hubbub libs/common/hubbub
COPY services services
RUN python -m pip wheel --wheel-dir /wheels --no-deps . \
    && python -m venv --without-pip /opt/hubbub \
    && python -m pip --python /opt/hubbub/bin/python install \
        --no-index --find-links /wheels --requirement requirements.txt hubbub \
    && /opt/hubbub/bin/hubbub nats-keys /keys --apart \
    && find /keys -type f -delete


FROM ${BASE}
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="Hubbub" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /opt/hubbub /opt/hubbub
# Empty folders. A volume mounted at one of them begins as ours: `hubbub nats-keys` can write into it.
COPY --from=build --chown=10001:10001 /keys /etc/hubbub/keys

# The root file system may be read-only: nothing is written but in /tmp. A user id without a name
# needs USER, and a container is reached from outside itself, so its ports are open on all sides.
ENV PATH=/opt/hubbub/bin:$PATH \
    HOME=/tmp \
    USER=hubbub \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HUBBUB_REVISION=${REVISION} \
    HUBBUB_OPS_HOST=0.0.0.0 \
    HUBBUB_GATEWAY_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
EXPOSE 3000 8081
ENTRYPOINT ["hubbub"]
CMD ["--help"]
