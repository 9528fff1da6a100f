"""Attachments of model records in the artifact store: written before a version is registered, checked on each read."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from bighead import artifacts
from bighead.charts import chart_from_json, feature_report_from_json, graph_from_json, trees_from_json
from bighead.charts.evaluation import evaluation_from_json
from bighead.config import Settings
from bighead.errors import ArtifactError, InvalidInput
from bighead.events.types import Attachment
from bighead.registry.attachments import (
    CHART,
    EVALUATION,
    FEATURE_REPORT,
    KINDS,
    PIPELINE,
    TREES,
    AttachmentFile,
    Document,
    check_attachments,
    check_content,
)


def store_attachment(settings: Settings, name: str, kind: str, content: bytes) -> Attachment:
    """Stores the bytes of an attachment; raises InvalidInput where they are too many or not what the kind holds."""
    check_content(name, kind, content)
    stored = artifacts.put_bytes(settings.artifacts, f"attachment {name!r}", content)
    return Attachment(
        name=name,
        kind=kind,
        media_type=KINDS[kind].media_type,
        sha256=stored.sha256,
        size=stored.size,
        uri=stored.uri,
    )


_READERS: Mapping[str, Callable[[bytes], object]] = {
    CHART: chart_from_json,
    FEATURE_REPORT: feature_report_from_json,
    TREES: trees_from_json,
    PIPELINE: graph_from_json,
    EVALUATION: evaluation_from_json,
}


def check_document(one: Document) -> None:
    """Raises InvalidInput unless these bytes can be stored, and drawn where their kind is drawn."""
    check_content(one.name, one.kind, one.content)
    try:
        _READERS.get(one.kind, bytes)(one.content)
    except InvalidInput as error:
        raise InvalidInput(f"attachment {one.name!r} of the kind {one.kind!r}: {error}") from error


def store_documents(settings: Settings, documents: Iterable[Document]) -> tuple[Attachment, ...]:
    """Stores attachments; none before all of them were checked: what cannot be drawn is not registered either."""
    every = tuple(documents)
    for one in every:
        check_document(one)
    return tuple(store_attachment(settings, one.name, one.kind, one.content) for one in every)


def store_files(settings: Settings, files: Sequence[AttachmentFile], folder: Path) -> tuple[Attachment, ...]:
    """Stores the files that a record names, relative to `folder`; none before all of them were read and checked."""
    return store_documents(
        settings, [Document(file.name, file.kind, _content(folder / file.file, file)) for file in files]
    )


def read_attachment(settings: Settings, attachment: Attachment) -> bytes:
    """An attachment's bytes from the artifact store, after they proved to be the registered ones.

    The place follows from the SHA-256: the URL in the record says where it was put at first, and nobody who can write a
    record makes this process read another place. Raises ArtifactError.
    """
    check_attachments([attachment])
    try:
        return artifacts.read(settings.artifacts, attachment.sha256, attachment.size)
    except ArtifactError as error:
        raise ArtifactError(
            f"attachment {attachment.name!r} cannot be read: {error}; it was stored as {attachment.uri}"
        ) from error


def _content(path: Path, file: AttachmentFile) -> bytes:
    """The bytes of a file, at most one more than the kind allows: what is too large is not read to its end."""
    if file.kind not in KINDS:
        check_content(file.name, file.kind, b"")
    limit = KINDS[file.kind].limit_bytes
    try:
        size = path.stat().st_size
        if size > limit:
            raise InvalidInput(
                f"attachment {file.name!r}: {path} has {size:,} bytes; a {file.kind} has at most {limit:,}"
            )
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"attachment {file.name!r}: {path} cannot be read: {error.strerror}") from error
