# In place of caddy:2: Debian's Caddy.
FROM patchbay-test/debian
RUN apt-get install -y -qq --no-install-recommends caddy && apt-get clean
