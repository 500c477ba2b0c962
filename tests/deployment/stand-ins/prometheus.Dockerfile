# In place of prom/prometheus: Debian's Prometheus.
FROM patchbay-test/debian
RUN apt-get install -y -qq --no-install-recommends prometheus && apt-get clean
# As the official image has them.
RUN install -d -o nobody -g nogroup /prometheus
USER nobody
ENTRYPOINT ["/usr/bin/prometheus"]
