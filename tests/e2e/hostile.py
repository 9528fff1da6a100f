"""Text that would act if a page let it: every kind of it in every text field of every event type."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bighead.client.attachments import store_attachment
from bighead.client.publish import Publisher
from bighead.config import Settings
from bighead.events.base import Event
from bighead.events.schemas import platform_schemas
from bighead.events.topics import TOPICS, topic_name
from bighead.events.types import EVENT_TYPES, GroupByApplied, JoinApplied
from bighead.registry.attachments import CHART, FEATURE_REPORT, MODEL_CARD
from tests.event_examples import example
from tests.unit.serving.console.story import feature_events

ACT = "window.canary=1"
MULTIPLIED = "{{7777*7777}}${7777*7777}#{7777*7777}<%=7777*7777%>"
PRODUCT = str(7777 * 7777)
CORPUS = (
    f"<script>{ACT}</script>",
    f"</title></textarea></style></script><script>{ACT}</script>",
    f"<img src=x onerror={ACT}>",
    f'"><svg onload={ACT}><animate onbegin={ACT} attributeName=x dur=1s>',
    f"' autofocus onfocus='{ACT}' x='",
    f"javascript:{ACT}//",
    f"java\tscript:{ACT}",
    f"data:text/html,<script>{ACT}</script>",
    f"<iframe srcdoc='<script>parent.{ACT}</script>'></iframe><object data='javascript:{ACT}'>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--><img src=1 onerror={ACT}>'>",
    f"[x](javascript:{ACT}) ![x](x\"onerror=\"{ACT}) <a href='javascript:{ACT}'>x</a> `<b onclick={ACT}>`",
    MULTIPLIED,
    "{% for one in [].__class__.__mro__ %}{{ one }}{% endfor %}",
    f"<div hx-get=/ hx-trigger=load hx-on::load='{ACT}' hx-vals='js:{{a:{ACT}}}' data-hx-on:click='{ACT}'>",
    f"\u202e\ufeff＜script＞{ACT}＜/script＞\u2028<\u0131mg src=x onerror={ACT}>",
    f"+ADw-script+AD4-{ACT}+ADw-/script+AD4-",
    "<base href=//elsewhere.example/><link rel=stylesheet href=//elsewhere.example/x>",
    "<meta http-equiv=refresh content='0;url=//elsewhere.example/'><form action=//elsewhere.example/><button>x",
)
MODEL = "delay"
DEFINED = (GroupByApplied, JoinApplied)
"""They carry definitions, whose names are checked where they are written: what describes them is free."""
_COHERENT: Mapping[str, Any] = {"model": MODEL, "status": "succeeded", "sha256": "0" * 64, "environment": "production"}
_JSON = ("golden", "parity", "config", "training_data", "spec", "outputs", "definition")


def write_hostile(settings: Settings) -> None:
    """Writes, for each text, an event of each type that has it in every field: first such that fit each other."""
    publisher = Publisher(settings, "test")
    attachments = _attachments(settings)
    for number, text in enumerate(CORPUS, 1):
        for coherent in (True, False):
            for topic, event in _events(number, text, coherent, attachments):
                key = MODEL if coherent else text
                publisher.publish(event, key=key, topic=topic_name(settings.topic_prefix, topic))
    for event in feature_events(" ".join(CORPUS)):
        publisher.publish(event, key="features", topic=topic_name(settings.topic_prefix, spec_name(event)))
    publisher.flush()
    publisher.codec.close()


def spec_name(event: Event) -> str:
    """The topic that carries an event's type."""
    return next(spec.name for spec in TOPICS if type(event) in spec.types)


def _events(number: int, text: str, coherent: bool, attachments: list[Any]) -> Iterator[tuple[str, Event]]:
    schemas = platform_schemas()
    for spec in TOPICS:
        for kind in spec.types:
            if kind in DEFINED:
                continue
            record = _filled(example(schemas[kind.FULL_NAME]), text, number, coherent)
            if isinstance(record.get("record"), dict):
                record["record"]["attachments"] = attachments
            yield spec.name, EVENT_TYPES[kind.FULL_NAME].from_record(record)


def _filled(value: Any, text: str, number: int, coherent: bool, name: str = "") -> Any:
    match value:
        case dict():
            names = {key: text if key == "name" and name in ("tags", "labels", "metrics") else key for key in value}
            return {names[key]: _filled(one, text, number, coherent, key) for key, one in value.items()}
        case list():
            return [_filled(one, text, number, coherent, name) for one in value]
        case str() if coherent and name in _COHERENT:
            return _COHERENT[name]
        case str() if coherent and name in _JSON:
            return json.dumps({text: text, "max_abs_diff": 0.0, "tolerance": 1e-5, "rows": 1, "train": {"table": text}})
        case str() if coherent and name.endswith(("_id", "_hash")):
            return f"{name}-{number}"
        case str():
            return text
        case bool():
            return value
        case int() if coherent and name in ("version", "revision", "stage"):
            return number
        case int() if coherent and name.endswith("_version"):
            return max(1, number - 1)
    return value


def _attachments(settings: Settings) -> list[dict[str, Any]]:
    card = "\n\n".join([*CORPUS, "# title", *(f"[link]({text})" for text in CORPUS)])
    chart = json.dumps({text: [text, {"title": text, "label": text, "points": [[0, 1]]}] for text in CORPUS})
    stored = [
        store_attachment(settings, "card", MODEL_CARD, card.encode()),
        store_attachment(settings, "chart", CHART, chart.encode()),
        store_attachment(settings, "report", FEATURE_REPORT, chart.encode()),
    ]
    return [one.to_record() for one in stored]
