# In place of rabbitmq:4-management: Debian's RabbitMQ.
FROM patchbay-test/debian
RUN apt-get install -y -qq --no-install-recommends rabbitmq-server && apt-get clean && rm -rf /var/lib/rabbitmq/*
COPY rabbitmq-entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/bin/sh", "/entrypoint.sh"]
