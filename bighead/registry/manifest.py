"""What a signature over a model version covers, and whether it is that of a trusted key (Ed25519, RFC 8032). Pure."""

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bighead.errors import ArtifactError
from bighead.events.types import Attachment, ModelRecord, Signature, Tensor
from bighead.registry.keys import decoded, public_key

_HEAD = b"bighead model manifest 1\n"
"""No signature over anything else that this key may sign is one over a manifest."""
_NOT_SIGNED = frozenset({"artifact_uri", "uri", "signing_key", "manifest_signature"})
"""Where the file lies may change: what it holds is in its SHA-256."""


def manifest(model: str, record: ModelRecord) -> bytes:
    """The bytes that are signed: the model's name and the record as canonical JSON."""
    document = {"model": model, "record": _covered(record)}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _HEAD + text.encode("utf-8", "surrogatepass")


def signed(model: str, record: ModelRecord, secret: Ed25519PrivateKey) -> ModelRecord:
    """The record with a signature over its manifest."""
    signature = base64.b64encode(secret.sign(manifest(model, record))).decode()
    return replace(record, signing_key=public_key(secret), manifest_signature=signature)


def check_signature(model: str, record: ModelRecord) -> None:
    """Raises ArtifactError where the signature of a record is not one over its manifest. It may have none."""
    if record.signing_key is None and record.manifest_signature is None:
        return
    try:
        key = Ed25519PublicKey.from_public_bytes(decoded(record.signing_key or ""))
        key.verify(decoded(record.manifest_signature or ""), manifest(model, record))
    except (ValueError, InvalidSignature):
        raise ArtifactError(
            f"its signature by the key {record.signing_key} is not one over the manifest of this version of {model!r}: "
            "the record was changed after it was signed, or signed for another model; sign it again"
        ) from None


def check_trusted(model: str, record: ModelRecord, trusted: Collection[str]) -> None:
    """Raises ArtifactError unless the record is signed by one of the trusted public keys."""
    if record.manifest_signature is None:
        raise ArtifactError(
            "its manifest is not signed, and this server loads only models that are signed by one of its keys "
            f"(BIGHEAD_MODEL_KEYS: {', '.join(trusted)}); register it again with a signing key"
        )
    if record.signing_key not in trusted:
        raise ArtifactError(
            f"its manifest is signed by the key {record.signing_key}, which this server does not trust; expected one "
            f"of BIGHEAD_MODEL_KEYS: {', '.join(trusted)}"
        )
    check_signature(model, record)


def _covered(record: ModelRecord | Signature | Tensor | Attachment) -> dict[str, Any]:
    """Fields that have their default are left out, so that a manifest stays the same when a later release adds some."""
    values = {field.name: getattr(record, field.name) for field in fields(record) if field.name not in _NOT_SIGNED}
    defaults = {field.name: _default(field) for field in fields(record)}
    return {name: _plain(value) for name, value in values.items() if value != defaults[name]}


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _plain(value: object) -> object:
    """A value as JSON has it, the same before it went through the log and after."""
    match value:
        case Signature() | Tensor() | Attachment():
            return _covered(value)
        case tuple():
            return [_plain(item) for item in value]
        case Mapping():
            return {name: float(item) if isinstance(item, int) else item for name, item in value.items()}
    return value
