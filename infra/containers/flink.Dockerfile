# The Flink cluster with what our jobs load, and the program that the runner submits; docker-compose.yml gives it its commands.
# `make flink` fetches and compiles these first. Then, from the top of the repository:
#   docker build -f infra/containers/flink.Dockerfile -t bighead-flink:0.1.0 .
FROM flink:2.3.0-scala_2.12-java17
# The runner finds checkpoints in the folder that it shares with the cluster: both are the same user.
RUN useradd --uid 10001 --create-home bighead \
    && install -d -o bighead -g bighead /var/lib/bighead \
    && chown -R bighead:bighead /opt/flink
COPY .jvm/flink/flink-*.jar .jvm/flink/datasketches-*.jar /opt/flink/lib/
COPY .jvm/flink-program /opt/bighead/flink-program
USER 10001
VOLUME /var/lib/bighead
