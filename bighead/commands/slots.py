"""What an environment makes of a model, in lines for people."""

from bighead.commands.segments import told
from bighead.registry.policies import told as told_rule
from bighead.registry.rollouts import bounds
from bighead.registry.state import Rollout, Slot
from bighead.times import utc


def slot_lines(slot: Slot) -> list[str]:
    """How its requests are divided, labels, approvals and policy, a line each; nothing where nothing was said."""
    lines = []
    if slot.traffic is not None:
        arms = ", ".join(f"{arm.arm}: version {arm.version}, {arm.percent:g}%" for arm in slot.traffic.arms)
        lines.append(f"traffic: {arms}")
    if slot.segments is not None:
        lines.append(f"segments: {told(slot.segments)}")
    if slot.rollout is not None:
        lines.append(_rollout(slot.rollout))
    if slot.labelled:
        lines.append("labels: " + ", ".join(f"{label}: version {one}" for label, one in sorted(slot.labelled.items())))
    for number, stamps in sorted(slot.approvals.items()):
        lines.append(f"version {number} is approved by {', '.join(stamp.actor for stamp in stamps)}")
    lines += [f"policy: {told_rule(rule)}" for rule in slot.policy]
    return lines


def _rollout(rollout: Rollout) -> str:
    stage = f"stage {rollout.stage + 1} of {len(rollout.stages)}, {rollout.percent:g}% since {utc(rollout.since_ms)}"
    rules = ", ".join(map(bounds, rollout.rules)) or "none"
    return f"roll-out of version {rollout.version}: {stage}; rules: {rules}"
