# In place of postgres:17: Debian's PostgreSQL behind the variables of the official image that compose uses.
FROM patchbay-test/debian
RUN apt-get install -y -qq --no-install-recommends postgresql && apt-get clean \
 && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ || true
COPY postgres-entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/bin/sh", "/entrypoint.sh"]
STOPSIGNAL SIGINT
