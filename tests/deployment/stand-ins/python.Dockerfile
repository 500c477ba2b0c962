# In place of python:3.12-slim-bookworm: Debian's own Python.
FROM patchbay-test/debian
RUN apt-get install -y -qq --no-install-recommends python3 python3-venv && apt-get clean
