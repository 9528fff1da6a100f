"""Every error that the platform raises on purpose.

BigheadError
├── ConfigError            a setting is missing, half-specified or unusable
├── PlatformError          a part of the local platform cannot start or is not there
├── DefinitionError        a feature definition is wrong; nothing was changed
├── EventError             an event cannot be accepted
│   ├── UndecodableEvent   bytes that are not a registered Avro record
│   └── InvalidEvent       a decoded record that breaks the contract (null key, impossible time)
├── ModelError
│   ├── UnknownModel       no such model, version or deployment
│   ├── CommandRefused     the registry rejected a command; the reason is in the message
│   │   └── StaleRevision  somebody has changed the model since the sender of the command looked
│   ├── ParityError        a converted model does not answer like the pipeline it was made from
│   ├── ChecksFailed       what a model would be trained on does not pass the checks before training
│   ├── ArtifactError      bytes that are not those that were registered, or that are refused
│   └── InvalidInput       a prediction request with a wrong name, type or shape
├── Conflict               somebody else changed the same thing meanwhile
├── NotReady               asked before the thing can answer
├── Overloaded             refused because a bound was reached; may be tried again
├── DeadlineExceeded       the deadline passed before the answer was there
├── Unauthenticated        asked without a token, or with one that nobody knows
├── PermissionDenied       asked by somebody whose role does not allow it
└── StoreError             the online store did not answer

Domain errors know no transport: `serving.codes` maps them to gRPC status and HTTP code.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class BigheadError(Exception):
    """Root of every error raised on purpose. The message names the thing, what was received and what to do."""


class ConfigError(BigheadError):
    """A setting is missing, half-specified or unusable."""


class PlatformError(BigheadError):
    """A part of the local platform cannot start, stopped or is not there."""


class DefinitionError(BigheadError):
    """A feature definition is wrong; nothing was changed."""


class EventError(BigheadError):
    """An event cannot be accepted."""


class UndecodableEvent(EventError):
    """Bytes that are not a registered Avro record in Confluent framing."""


class InvalidEvent(EventError):
    """A decoded record that breaks the contract: a null key, an impossible time."""


class ModelError(BigheadError):
    """Root of what concerns models."""


class UnknownModel(ModelError):
    """No such model, version or deployment."""


class CommandRefused(ModelError):
    """The registry rejected a command; the message carries its reason."""


class StaleRevision(CommandRefused):
    """Somebody has changed the model since the sender of the command looked."""


class ParityError(ModelError):
    """A converted model does not answer like the pipeline it was made from."""


class ChecksFailed(ModelError):
    """What a model would be trained on does not pass the checks before training; each finding is in the message."""


class ArtifactError(ModelError):
    """Artifact bytes that are not those that were registered, or that are refused."""


class InvalidInput(ModelError):
    """A prediction request with a wrong name, type or shape."""


class Conflict(BigheadError):
    """Somebody else changed the same thing meanwhile."""


class NotReady(BigheadError):
    """Asked before the thing can answer."""


class Overloaded(BigheadError):
    """Refused because a bound was reached; may be tried again later."""


class DeadlineExceeded(BigheadError):
    """The deadline passed before the answer was there."""


class Unauthenticated(BigheadError):
    """Asked without a token, or with one that nobody knows."""


class PermissionDenied(BigheadError):
    """Asked by somebody whose role does not allow it."""


class StoreError(BigheadError):
    """The online store did not answer."""


def near(name: object, known: Iterable[str]) -> str:
    """What to add to a message about a name that is unknown: the nearest of those there are, or all of them."""
    names = [str(one) for one in known]
    found = get_close_matches(str(name), names, n=1)
    return f"; did you mean {found[0]!r}?" if found else f"; there are {', '.join(names) or 'none'}"
