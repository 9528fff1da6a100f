"""Models and deployments, decided and folded from events. Pure: no I/O, no clock, no environment."""

from bighead.registry.decisions import COMMANDS, Command, check_addressed, decide
from bighead.registry.state import REGISTRY_EVENTS, ModelState, RegistryEvent, evolve, evolve_unnoted, replay

__all__ = [
    "COMMANDS",
    "REGISTRY_EVENTS",
    "Command",
    "ModelState",
    "RegistryEvent",
    "check_addressed",
    "decide",
    "evolve",
    "evolve_unnoted",
    "replay",
]
