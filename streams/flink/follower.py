"""How far Flink's jobs are: the offsets that they commit when a checkpoint is complete.

Everything below such an offset was acknowledged by the state topic before, so a mark may be written for it.
"""

import time
from collections.abc import Collection, Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.kafka import LOGGER
from streams.flink.names import Place, places_of

_LOOK_S = 0.5
_ANSWER_S = 10.0


class FlinkProgress:
    """The next offset of each source partition, by group and epoch. `poll` blocks: call it from a thread."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topic_prefix
        self._admin = AdminClient({"bootstrap.servers": settings.kafka}, logger=LOGGER)
        self._jobs: dict[Place, str] = {}
        self._offsets: dict[str, dict[int, int]] = {}
        self._looked_s = 0.0

    def offsets(self, place: Place) -> Mapping[int, int]:
        """How far a group's epoch is as of the last poll; empty before its first checkpoint."""
        return self._offsets.get(self._jobs.get(place, ""), {})

    def poll(self, places: Collection[Place]) -> bool:
        """Asks Kafka, and says whether anything moved; raises PlatformError where it does not answer."""
        try:
            self._find(places)
            before = dict(self._offsets)
            for name in {self._jobs[place] for place in places if place in self._jobs}:
                self._offsets[name] = self._committed(name)
        except KafkaException as error:
            raise PlatformError(f"the progress of Flink's jobs is not known: {error.args[0].str()}") from error
        return before != self._offsets

    def _find(self, places: Collection[Place]) -> None:
        if all(place in self._jobs for place in places) or time.monotonic() < self._looked_s + _LOOK_S:
            return
        self._looked_s = time.monotonic()
        listed = self._admin.list_consumer_groups(request_timeout=_ANSWER_S).result()
        for group in listed.valid:
            for place in places_of(self._prefix, group.group_id):
                self._jobs[place] = group.group_id

    def _committed(self, name: str) -> dict[int, int]:
        asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=_ANSWER_S)
        found = asked[name].result().topic_partitions or []
        return {part.partition: part.offset for part in found if part.offset >= 0}
