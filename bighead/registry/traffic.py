"""Which version answers a request that names none: the live one, or that of the arm its unit belongs to. Pure.

Arms are chosen by weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer and Schomaker
2005): a unit belongs to the arm with the largest score, so that when shares change only those units move that must.
"""

import hashlib
import math
from dataclasses import dataclass

from bighead.events.types import TrafficArm
from bighead.registry.state import Traffic

LIVE = "live"
_BITS = 52
"""A double holds one more: halfway between two of these numbers it still lies above 0 and below 1, exactly."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The version that answers, the arm that it is, the shadows that see the request as well, and why."""

    version: int
    arm: str
    shadows: tuple[TrafficArm, ...]
    why: str


def choose(live: int, traffic: Traffic | None, unit: str) -> Choice:
    """Who answers a request that names no version. `unit` is the text whose hash decides."""
    if traffic is None or not traffic.arms:
        return Choice(live, LIVE, (), f"version {live} is live and traffic is not divided")
    shadows = tuple(arm for arm in traffic.arms if arm.shadow)
    arms = [arm for arm in traffic.arms if not arm.shadow and arm.percent > 0]
    chosen = arms[0] if len(arms) == 1 else max(arms, key=lambda arm: score(arm, traffic.salt, unit))
    shares = ", ".join(f"{arm.arm} {arm.percent:g}%" for arm in arms)
    return Choice(chosen.version, chosen.arm, shadows, f"unit {unit!r} with salt {traffic.salt!r} among {shares}")


def score(arm: TrafficArm, salt: str, unit: str) -> float:
    """The weighted rendezvous score: -weight / ln(h), h the unit's hash for this arm as a number between 0 and 1."""
    # Lengths keep ("a", "bc") apart from ("ab", "c").
    text = "".join(f"{len(part)}:{part}" for part in (salt, arm.arm, unit))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    number = int.from_bytes(digest, "big") >> (64 - _BITS)
    return -arm.percent / math.log((number + 0.5) / (1 << _BITS))
