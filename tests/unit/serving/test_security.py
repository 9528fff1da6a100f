"""Tokens and TLS on real listeners: who has none is refused with the right code, and probes are answered always."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2

from bighead.client.predict import PredictionClient
from bighead.client.rpc import Security
from bighead.errors import ConfigError, NotReady, PermissionDenied, Unauthenticated
from bighead.inference.loading import load
from serving.predictor import Predictor
from serving.security import ADMIN, PREDICT, Tls, Tokens, tls_of
from tests.unit.serving.fakes import predictor_of
from tests.unit.serving.models import times_stored
from tests.unit.serving.running import Addresses, running

TOKEN, BOSS = "a-token-of-many-characters", "another-token-of-many-characters"
TOKENS = Tokens(f"predict:{TOKEN}, admin:{BOSS}")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return predictor_of(load("times", 1, times_stored(tmp_path_factory.mktemp("m"), 2.0))[0])


@dataclass(frozen=True)
class Files:
    """A certificate with its key, in PEM files, both of one's own authority."""

    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Files(folder / "certificate.pem", folder / "key.pem")


def ask(address: str, security: Security) -> float:
    with PredictionClient(address, security) as client:
        return float(client.predict("times", [{}], [{"x": 3.0}]).predictions[0].outputs["y"])  # type: ignore[arg-type]


@contextmanager
def guarded(predictor: Predictor) -> Iterator[Addresses]:
    with running(predictor, tokens=TOKENS) as addresses:
        yield addresses


def test_grpc_answers_whoever_has_a_token_and_names_what_is_missing(predictor: Predictor) -> None:
    with guarded(predictor) as at:
        assert ask(at.grpc, Security(token=TOKEN)) == 6.0
        assert ask(at.grpc, Security(token=BOSS)) == 6.0
        with pytest.raises(Unauthenticated, match="received no bearer token; expected metadata or header"):
            ask(at.grpc, Security())
        with pytest.raises(Unauthenticated, match="a bearer token that this server does not know"):
            ask(at.grpc, Security(token="a-token-of-many-character5"))


def test_a_stream_without_a_token_is_refused_as_well(predictor: Predictor) -> None:
    with guarded(predictor) as at, grpc.insecure_channel(at.grpc) as channel:
        call: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        with pytest.raises(grpc.RpcError) as refused:
            list(call(iter([b""]), timeout=5))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_probes_need_no_token(predictor: Predictor) -> None:
    with guarded(predictor) as at, grpc.insecure_channel(at.grpc) as channel:
        check: Any = channel.unary_unary(
            "/grpc.health.v1.Health/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString
        )
        assert check(b"", timeout=5).status == health_pb2.HealthCheckResponse.SERVING
        assert httpx.get(f"http://{at.http}/v2/health/ready").status_code == 200


def test_rest_says_401_with_the_way_to_authenticate(predictor: Predictor) -> None:
    body = {"model": "times", "entities": [{"keys": {}, "inputs": {"x": 3.0}}]}
    with guarded(predictor) as at:
        refused = httpx.post(f"http://{at.http}/predict", json=body)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "received no bearer token" in refused.json()["error"]
        answered = httpx.post(f"http://{at.http}/predict", json=body, headers={"authorization": f"Bearer {TOKEN}"})
        assert answered.json()["predictions"][0]["outputs"] == {"y": 6.0}


def test_a_role_that_is_not_enough_is_named() -> None:
    TOKENS.require(f"Bearer {BOSS}", ADMIN)
    TOKENS.require(f"bearer {BOSS}", PREDICT)
    with pytest.raises(PermissionDenied, match="the token has the role predict; expected admin"):
        TOKENS.require(f"Bearer {TOKEN}", ADMIN)


@pytest.mark.parametrize("text", ["predict", "king:0123456789abcdef", "predict:short", f"predict:{TOKEN},:"])
def test_tokens_that_cannot_be_meant_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ConfigError, match=r"entry \d of BIGHEAD_TOKENS is no ROLE:TOKEN") as refused:
        Tokens(text)
    assert TOKEN not in str(refused.value)
    assert "0123456789abcdef" not in str(refused.value)


def test_with_a_certificate_everything_is_encrypted(predictor: Predictor, files: Files) -> None:
    root = files.certificate.read_bytes()
    with running(predictor, tls=Tls(files.certificate, files.key, None)) as at:
        assert ask(at.grpc, Security(tls=True, root_certificate=root)) == 6.0
        with pytest.raises(NotReady):
            ask(at.grpc, Security())
        assert httpx.get(
            f"https://{at.http}/health", verify=ssl.create_default_context(cafile=str(files.certificate))
        ).json() == {"ready": True}


def test_a_client_must_show_a_certificate_where_that_is_demanded(predictor: Predictor, files: Files) -> None:
    root, key = files.certificate.read_bytes(), files.key.read_bytes()
    with running(predictor, tls=Tls(files.certificate, files.key, files.certificate)) as at:
        assert ask(at.grpc, Security(tls=True, root_certificate=root, certificate=root, key=key)) == 6.0
        with pytest.raises(NotReady):
            ask(at.grpc, Security(tls=True, root_certificate=root))


def test_half_of_a_configuration_is_refused(tmp_path: Path, files: Files) -> None:
    assert tls_of("", "", "") is None
    with pytest.raises(ConfigError, match="needs both BIGHEAD_TLS_CERTIFICATE and BIGHEAD_TLS_KEY"):
        tls_of(str(files.certificate), "", "")
    with pytest.raises(ConfigError, match=r"gone\.pem cannot be read for TLS"):
        Tls(tmp_path / "gone.pem", files.key, None).credentials()
