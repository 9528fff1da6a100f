"""What happened to a model, in words: one row for each kind of change. Pure."""

import re

from bighead.registry.views import Change

_WORDS = {
    "ModelRegistered": "registered version {version}",
    "DeploymentChanged": "deployed version {version}",
    "TrafficChanged": "divided the traffic: {detail}",
    "SegmentsChanged": "set the segments: {detail}",
    "RolloutStarted": "started to roll out version {version}, {detail}",
    "RolloutAdvanced": "advanced the roll-out of version {version} {detail}",
    "RolloutEnded": "ended the roll-out of version {version}: {detail}",
    "RolledBack": "rolled back to version {version}",
    "ModelRetired": "retired {what}",
    "LabelPromoted": "labelled {detail}",
    "VersionApproved": "approved version {version}",
    "PolicyChanged": "changed the policy: {detail}",
}
_TONES = {
    "DeploymentChanged": "good",
    "RolledBack": "warn",
    "ModelRetired": "neutral",
    "TrafficChanged": "info",
    "RolloutStarted": "info",
    "RolloutAdvanced": "info",
    "RolloutEnded": "info",
    "LabelPromoted": "info",
    "VersionApproved": "info",
}


def said(change: Change) -> str:
    """The change without who and why, e.g. `deployed version 3`."""
    what = "the whole model" if change.version is None else f"version {change.version}"
    if change.refused is not None:
        return f"was refused: {spaced(change.what)}"
    text = _WORDS.get(change.what)
    if text is None:
        return f"{spaced(change.what)}{'' if change.version is None else f' {change.version}'} {change.detail}".rstrip()
    return text.format(version=change.version, detail=change.detail or "none", what=what)


def tone(change: Change) -> str:
    """Its colour."""
    return "bad" if change.refused is not None else _TONES.get(change.what, "neutral")


def spaced(name: str) -> str:
    """The name of an event or command in words: `DeployModel` as `deploy model`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
