"""What the pages of models ask of the platform beside the log: a decision of the registry, the bytes of attachments.

Knows Kafka and the artifact store through the SDK. Everything here blocks; routes call it in a thread.
"""

from typing import Protocol

from bighead.client.attachments import read_attachment
from bighead.client.models import ModelsClient
from bighead.config import Settings
from bighead.events.types import Attachment
from bighead.registry import Command


class Desk(Protocol):
    """Errors are BigheadErrors."""

    def ask(self, command: Command) -> object:
        """Sends a command and returns when it is decided; raises CommandRefused, or DeadlineExceeded."""

    def attachment(self, attachment: Attachment) -> bytes:
        """The bytes of an attachment, checked; raises ArtifactError."""


class PlatformDesk:
    """The running platform."""

    def __init__(self, settings: Settings, client: ModelsClient) -> None:
        self._settings = settings
        self._client = client

    def ask(self, command: Command) -> object:
        """As `Desk` says; the command names its actor."""
        return self._client.ask(command)

    def attachment(self, attachment: Attachment) -> bytes:
        """As `Desk` says."""
        return read_attachment(self._settings, attachment)
