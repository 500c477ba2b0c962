# In place of caddy:2: Debian's Caddy.
FROM patchbay-test/debian
RUN apt-get install -y -qq --no-install-recommends caddy && apt-get clean
# As the official image has it.
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
