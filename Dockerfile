# One image for every service; the argument picks it: `docker run patchbay run ingest`.
# Builds on any Debian-based image with Python 3.11 or newer and its venv module.
ARG BASE_IMAGE=python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS requirements
# What to install, and nothing else of the project: another version of it installs nothing anew.
COPY pyproject.toml /
RUN python3 -c "import tomllib; p = tomllib.load(open('/pyproject.toml', 'rb'))['project']; \
      print(*p['dependencies'], *p['optional-dependencies']['otel'], sep='\n')" > /requirements.txt

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/patchbay && python3 -m venv /opt/tools
WORKDIR /build
# Dependencies first: they change less often than the code.
COPY constraints.txt ./
COPY --from=requirements /requirements.txt ./
RUN /opt/patchbay/bin/python -m pip install --quiet --no-compile -c constraints.txt -r requirements.txt \
 && /opt/tools/bin/python -m pip install --quiet --no-compile -c constraints.txt cyclonedx-python-lib hatchling
COPY services/web/build_assets.py services/web/package.json services/web/package-lock.json services/web/
RUN mkdir -p services/web/patchbay_web/static && /opt/tools/bin/python services/web/build_assets.py --require
COPY . .
RUN /opt/tools/bin/python -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir /wheel . \
 && /opt/patchbay/bin/python -m pip install --quiet --no-compile --no-deps /wheel/*.whl \
 && /opt/patchbay/bin/python -m pip uninstall --quiet --yes setuptools pip \
 && find /opt/patchbay -type d \( -name tests -o -name test \) -path '*site-packages*' -prune -exec rm -rf {} + \
 && find /opt/patchbay -name '*.pyi' -delete \
 && /opt/tools/bin/python setup/sbom.py /opt/patchbay/lib/python3*/site-packages services/web/package-lock.json \
      > /opt/patchbay/sbom.cdx.json \
 # The root file system is read-only where it runs: bytecode is made now.
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/patchbay/lib

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Patchbay" \
      org.opencontainers.image.description="Patch monitor for Linux fleets" \
      org.opencontainers.image.licenses="GPL-3.0-or-later" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      io.patchbay.sbom="/opt/patchbay/sbom.cdx.json"
# createrepo_c's wheel brings every library but GLib, whose package has another name since Debian 13 and Ubuntu 24.04.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends \
      $(apt-cache show libglib2.0-0t64 >/dev/null 2>&1 && echo libglib2.0-0t64 || echo libglib2.0-0) \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
 && install -d -o 10001 -g 10001 -m 0700 /var/tmp/patchbay
COPY --from=build /opt/patchbay /opt/patchbay
ENV PATH=/opt/patchbay/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATCHBAY_LOG_FORMAT=json \
    PATCHBAY_METRICS_PORT=9464
# Writes nothing but to /tmp and, for half-fetched indexes, /var/tmp/patchbay: run it with a read-only root.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080 9464
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python3", "-ISc", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PATCHBAY_METRICS_PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["patchbay"]
CMD ["--help"]
