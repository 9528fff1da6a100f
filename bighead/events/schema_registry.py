"""The few calls of the Confluent schema registry API that the platform makes, with bounded retries.

Any registry with that API will do. Knows HTTP, and nothing of Kafka.
"""

import json
import random
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from bighead.errors import ConfigError, PlatformError

COMPATIBILITY = "FULL_TRANSITIVE"
ATTEMPTS = 7
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
TIMEOUT_S = 10.0
_AT_A_TIME = 4
_TO_BE_TRIED_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Stored:
    """A schema as the registry holds it. `subject` and `version` are empty where it was asked for by id."""

    id: int
    text: str
    kind: str = "AVRO"
    references: tuple[tuple[str, str, int], ...] = ()
    subject: str = ""
    version: int = 0


class SchemaRegistry:
    """A schema registry. What it does not know is None; one that does not answer is a PlatformError, never a None."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url + "/", timeout=TIMEOUT_S)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def by_id(self, schema_id: int) -> Stored | None:
        """The schema with that id."""
        answer = self._ask("GET", f"schemas/ids/{schema_id}")
        return None if answer is None else _stored(answer, schema_id)

    def latest(self, subject: str) -> Stored | None:
        """The newest schema under a subject."""
        return self.version(subject, "latest")

    def version(self, subject: str, version: int | str) -> Stored | None:
        """One version of the schemas under a subject."""
        answer = self._ask("GET", f"subjects/{quote(subject, safe='')}/versions/{version}")
        return None if answer is None else _stored(answer, answer["id"])

    def id_of(self, subject: str, schema: Mapping[str, Any]) -> int | None:
        """The id of exactly this schema under the subject."""
        answer = self._ask("POST", f"subjects/{quote(subject, safe='')}", {"schema": json.dumps(schema)})
        return None if answer is None else int(answer["id"])

    def subjects(self) -> list[str]:
        """Every subject, sorted."""
        return sorted(self._ask("GET", "subjects") or [])

    def all_latest(self) -> list[Stored]:
        """The newest schema under every subject."""
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            return [stored for stored in pool.map(self.latest, self.subjects()) if stored is not None]

    def versions(self, subject: str) -> list[int]:
        """The numbers of a subject's versions; empty for an unknown subject."""
        return list(self._ask("GET", f"subjects/{quote(subject, safe='')}/versions") or [])

    def register_all(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Registers schemas by subject. Which subjects there are is asked once: a new one cannot hold its schema."""
        there = frozenset(self.subjects())

        def one(subject: str, schema: Mapping[str, Any]) -> int:
            return self.register(subject, schema) if subject in there else self._add(subject, schema)

        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            list(pool.map(one, wanted.keys(), wanted.values()))

    def register(self, subject: str, schema: Mapping[str, Any]) -> int:
        """Registers a schema under FULL_TRANSITIVE; the id, whether it is new or not."""
        known = self.id_of(subject, schema)
        return self._add(subject, schema) if known is None else known

    def _add(self, subject: str, schema: Mapping[str, Any]) -> int:
        path = quote(subject, safe="")
        self._ask("PUT", f"config/{path}", {"compatibility": COMPATIBILITY})
        return int(self._ask("POST", f"subjects/{path}/versions", {"schema": json.dumps(schema)})["id"])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON; None for 404."""
        for attempt in range(ATTEMPTS):
            failure = ""
            try:
                answer = self._client.request(method, path, json=body)
            except httpx.TransportError as error:
                failure = str(error) or type(error).__name__
            else:
                if answer.status_code == 404 and method != "PUT":
                    return None
                if answer.is_success:
                    return answer.json()
                # A rule that two programs set at the same time is a conflict for one of them.
                raced = answer.status_code == 409 and method == "PUT"
                if answer.status_code not in _TO_BE_TRIED_AGAIN and not raced:
                    raise _refused(method, path, answer)
                failure = f"HTTP {answer.status_code}: {answer.text[:200]}"
            if attempt < ATTEMPTS - 1:
                time.sleep(random.uniform(0.5, 1) * min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt))
        raise PlatformError(
            f"the schema registry at {self.url} does not answer {method} {path} ({failure}, {ATTEMPTS} attempts); "
            "check BIGHEAD_SCHEMA_REGISTRY and that it runs: `bighead status`"
        )


def _stored(answer: Mapping[str, Any], schema_id: int) -> Stored:
    references = tuple((row["name"], row["subject"], row["version"]) for row in answer.get("references") or ())
    kind = answer.get("schemaType") or "AVRO"
    return Stored(schema_id, answer["schema"], kind, references, answer.get("subject", ""), answer.get("version", 0))


def _refused(method: str, path: str, answer: httpx.Response) -> ConfigError:
    try:
        reason = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        reason = answer.text[:500]
    if answer.status_code == 409:
        return ConfigError(
            f"the schema registry refused {path} as incompatible with an earlier version: {reason}. "
            f"Under {COMPATIBILITY} a field may be added or removed only if it has a default, and no type may change"
        )
    return ConfigError(f"the schema registry refused {method} {path} with HTTP {answer.status_code}: {reason}")
