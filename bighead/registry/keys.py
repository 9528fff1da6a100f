"""Ed25519 keys with which model versions are signed: secret ones as PEM (PKCS 8), public ones as base64. Pure."""

import base64

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bighead.errors import ConfigError


def new_secret_key() -> str:
    """A new secret key as PEM, as `openssl genpkey -algorithm ed25519` makes one."""
    secret = Ed25519PrivateKey.generate()
    return secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def secret_key(pem: str) -> Ed25519PrivateKey:
    """The secret key of a PEM text. Raises ConfigError, which does not repeat the text."""
    expected = "expected one in PEM without a password, as `bighead models keygen` writes it"
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"the key of BIGHEAD_SIGNING_KEY or BIGHEAD_SIGNING_KEY_FILE is none; {expected}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"the key of BIGHEAD_SIGNING_KEY or BIGHEAD_SIGNING_KEY_FILE is a {type(key).__name__}, no Ed25519 key; "
            f"{expected}"
        )
    return key


def public_key(secret: Ed25519PrivateKey) -> str:
    """The key that verifies what `secret` signs: its 32 bytes in base64."""
    return base64.b64encode(secret.public_key().public_bytes_raw()).decode()


def trusted_keys(setting: str) -> tuple[str, ...]:
    """The public keys that a setting names, comma-separated; raises ConfigError naming the entry that is none."""
    keys = tuple(entry.strip() for entry in setting.split(",") if entry.strip())
    for number, key in enumerate(keys, start=1):
        try:
            Ed25519PublicKey.from_public_bytes(decoded(key))
        except ValueError:
            raise ConfigError(
                f"entry {number} of BIGHEAD_MODEL_KEYS has {len(key)} characters and is no Ed25519 public key; "
                "expected the 44 characters of base64 that `bighead models keygen` prints"
            ) from None
    return keys


def decoded(text: str) -> bytes:
    """The bytes of a base64 text; raises ValueError."""
    return base64.b64decode(text.encode(), validate=True)
