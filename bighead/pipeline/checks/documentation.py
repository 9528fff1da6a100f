"""docs/checks.md, made from the checks themselves: `python -m bighead.pipeline.checks > docs/checks.md`."""

import inspect

from bighead.pipeline.checks import CHECKS, Check

_HEAD = """# Checks before training

Made by `python -m bighead.pipeline.checks > docs/checks.md`; a test compares.

`bighead.pipeline.checks.check(split, estimator)` looks at what a model is about to be trained on, and says what is
wrong or doubtful. An **error** stops training (`raise_for` raises `ChecksFailed`), a **warning** and a **note** are
said. What is meant can be silenced, by code or by code and column, with a reason, which is kept in the findings:

```python
from bighead.pipeline.checks import as_text, check, raise_for

findings = check(split, estimator, silence={"BH002:badge_colour": "painted by the gate before the question is asked"})
print(as_text(findings))
raise_for(findings)
```

With `served=bighead.client.catalog.read_served(settings)` the rows are compared with the definitions that are served.

| code | severity | what |
|---|---|---|
"""


def markdown() -> str:
    """The page: a table of all checks, then each with how it looks, why it matters and what to do."""
    rows = "".join(f"| [{one.code}](#{one.code.lower()}) | {one.severity} | {one.title} |\n" for one in CHECKS)
    return _HEAD + rows + "".join(_section(one) for one in CHECKS)


def _section(one: Check) -> str:
    how = " ".join((inspect.getdoc(one.look) or "").split())
    return (
        f"\n## {one.code}\n\n**{_sentence(one.title)}** ({one.severity}). {how}\n\n"
        f"- Why: {one.why}.\n- Fix: {one.fix}.\n"
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
