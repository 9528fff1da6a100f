"""`bighead models keygen`: a key pair for signing models; and the secret key that the environment gives a command."""

import os
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bighead import config
from bighead.commands.options import say
from bighead.errors import ConfigError
from bighead.registry.keys import new_secret_key, public_key, secret_key


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="The outcome as one JSON object.")
def keygen(path: Path, as_json: bool) -> None:
    """Write a new secret key to PATH, which only its owner may read, and print its public key.

    Whoever registers models sets BIGHEAD_SIGNING_KEY_FILE to the file; servers get the public key in
    BIGHEAD_MODEL_KEYS, and load only what it verifies.

    Example: bighead models keygen models.key
    """
    pem = new_secret_key()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(pem)
    except FileExistsError:
        raise ConfigError(f"{path} exists; a key is never overwritten, choose another name") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    public = public_key(secret_key(pem))
    say({"file": str(path), "public_key": public}, f"{path} holds the secret key; its public key is\n{public}", as_json)


def signing_key() -> Ed25519PrivateKey | None:
    """The key with which this command signs, if the environment has one."""
    pem = config.signing_key()
    return secret_key(pem) if pem else None
