"""What the registry knows of models, now and as of any time, folded from the log by whoever asks.

Knows Kafka through the log; every answer is that of the pure timelines.
"""

from collections.abc import Collection, Iterator

from bighead.config import Settings
from bighead.errors import UnknownModel
from bighead.events.codec import Codec
from bighead.events.log import read_log
from bighead.events.message import Message
from bighead.events.topics import MODELS_EVENTS, SERVING_EVENTS, topic_name
from bighead.registry.blame import Blamed, blame
from bighead.registry.diff import Difference, differences
from bighead.registry.state import Version
from bighead.registry.timeline import Timelines
from bighead.registry.views import VIEWED_EVENTS, Change, ModelView


class ModelReads:
    """Times are milliseconds since the epoch, UTC, and inclusive; None is now. Raises UnknownModel."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._events = topic_name(settings.topic_prefix, MODELS_EVENTS)
        self._serving = topic_name(settings.topic_prefix, SERVING_EVENTS)

    def ls(self, as_of_ms: int | None = None) -> list[ModelView]:
        """Every model that had a version by then, by name."""
        return list(self._timelines().models(as_of_ms).values())

    def show(self, model: str, as_of_ms: int | None = None) -> ModelView:
        """One model as of a time."""
        return self._timelines_of(model, as_of_ms).model(model, as_of_ms)

    def history(self, model: str, as_of_ms: int | None = None) -> tuple[Change, ...]:
        """Everything that was asked of a model, the oldest first, refused commands included."""
        return self.show(model, as_of_ms).history

    def blame(self, model: str, as_of_ms: int | None = None) -> tuple[Blamed, ...]:
        """Of each thing that was so then, the event that made it so."""
        return self.explain(model, as_of_ms)[1]

    def explain(self, model: str, as_of_ms: int | None = None) -> tuple[ModelView, tuple[Blamed, ...]]:
        """One model as of a time, and the event behind each thing that was so then."""
        lines = self._timelines_of(model, as_of_ms)
        return lines.model(model, as_of_ms), blame(model, lines.timeline(model).until(as_of_ms))

    def diff(self, model: str, before: int, after: int) -> tuple[Difference, ...]:
        """Every field that differs between two versions."""
        view = self.show(model)
        return differences(version_of(view, before), version_of(view, after))

    def newest(self, model: str) -> int:
        """The newest version that is not retired."""
        versions = [version.number for version in self.show(model).state.versions if version.retired is None]
        if not versions:
            raise UnknownModel(f"every version of {model!r} is retired; register a new one")
        return versions[-1]

    def _timelines_of(self, model: str, as_of_ms: int | None) -> Timelines:
        """Those in which the model is complete; raises UnknownModel, for which all must be read."""
        lines = self._timelines({model.encode()})
        try:
            lines.model(model, as_of_ms)
        except UnknownModel:
            self._timelines().model(model, as_of_ms)
        return lines

    def _timelines(self, keys: Collection[bytes] | None = None) -> Timelines:
        """`keys`: only of these models. The log is read all the same, but not decoded."""
        lines = Timelines()
        for message, event in self._codec.decoded(self._messages(keys)):
            if isinstance(event, VIEWED_EVENTS):
                lines.apply(event, message.position)
        return lines

    def _messages(self, keys: Collection[bytes] | None) -> Iterator[Message]:
        for message in read_log(self._settings, self._events):
            if keys is None or message.key in keys:
                yield message
        yield from read_log(self._settings, self._serving)


def version_of(view: ModelView, number: int) -> Version:
    """One version of a model; raises UnknownModel naming how many there are."""
    found = view.state.version(number)
    if found is None:
        raise UnknownModel(
            f"{view.state.name!r} has no version {number}; it has {len(view.state.versions)}, the first is 1"
        )
    return found
