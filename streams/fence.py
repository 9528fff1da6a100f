"""The one write to the online store: tiles, marks and positions in one Lua call that changes all or nothing.

Knows the layout in `bighead.features.tiles` and Redis 6.2 or newer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# KEYS: the positions, then the hashes of tiles, then the marks of topics.
# ARGV: how many positions, then for each: partition, the offset that must be stored ('' for none), the next offset;
#       how many hashes, then for each: time to live in ms ('0' for none), how many tiles to erase, then each field,
#       how many tiles to write, then for each: field, value;
#       how many topics, then for each: how many marks, then for each: field, value.
# A value begins with rank (1 byte) and seq (8 bytes, big-endian). Lua's numbers are doubles, exact to 2^53 only, so seq
# is compared in two halves. The greater (rank, seq) wins, and of equals the later in the log.
SCRIPT = """
local at = 1
local function take() local value = ARGV[at]; at = at + 1; return value end
local function older(new, old)
  local new_rank, new_high, new_low = struct.unpack('>BI4I4', new)
  local old_rank, old_high, old_low = struct.unpack('>BI4I4', old)
  if new_rank ~= old_rank then return new_rank < old_rank end
  if new_high ~= old_high then return new_high < old_high end
  return new_low < old_low
end

local moves = {}
for index = 1, tonumber(take()) do
  local partition, expected, next_offset = take(), take(), take()
  if (redis.call('HGET', KEYS[1], partition) or '') ~= expected then
    return {0, redis.call('HGETALL', KEYS[1])}
  end
  moves[#moves + 1] = partition
  moves[#moves + 1] = next_offset
end

local key, written = 2, 0
for index = 1, tonumber(take()) do
  local ttl, fields, values, newer = take(), {}, {}, {}
  for tile = 1, tonumber(take()) do redis.call('HDEL', KEYS[key], take()) end
  for tile = 1, tonumber(take()) do fields[tile], values[tile] = take(), take() end
  local stored = #fields > 0 and redis.call('HMGET', KEYS[key], unpack(fields))
  for tile, value in ipairs(values) do
    if not stored[tile] or not older(value, stored[tile]) then
      newer[#newer + 1] = fields[tile]
      newer[#newer + 1] = value
    end
  end
  if #newer > 0 then redis.call('HSET', KEYS[key], unpack(newer)) end
  if ttl ~= '0' then redis.call('PEXPIRE', KEYS[key], ttl) end
  key, written = key + 1, written + #newer / 2
end

for index = 1, tonumber(take()) do
  local marks = {}
  for mark = 1, 2 * tonumber(take()) do marks[mark] = take() end
  redis.call('HSET', KEYS[key], unpack(marks))
  redis.call('PUBLISH', KEYS[key], '')
  key = key + 1
end

redis.call('HSET', KEYS[1], unpack(moves))
return {1, written}
"""


@dataclass
class Chunk:
    """What one call writes. Of several versions of a tile only the one that wins is sent.

    moves: for each partition of the state topic the offset that must be stored (None for none) and the next one.
    """

    moves: dict[int, tuple[int | None, int]] = field(default_factory=dict)
    tiles: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    erased: dict[str, list[bytes]] = field(default_factory=dict)
    ttls_ms: dict[str, int] = field(default_factory=dict)
    marks: dict[str, dict[str, int]] = field(default_factory=dict)

    def put_tile(self, key: str, name: bytes, value: bytes, ttl_ms: int | None) -> None:
        """Takes a tile; `value` is a `store_value`, whose fence orders as bytes do."""
        tiles = self.tiles.setdefault(key, {})
        known = tiles.get(name)
        if known is None or value[:FENCE_BYTES] >= known[:FENCE_BYTES]:
            tiles[name] = value
        self.ttls_ms[key] = ttl_ms or 0

    def erase_tile(self, key: str, name: bytes) -> None:
        """Takes the end of a tile, whatever version of it is stored."""
        self.tiles.setdefault(key, {}).pop(name, None)
        self.erased.setdefault(key, []).append(name)
        self.ttls_ms.setdefault(key, 0)

    def arguments(self, positions_key: str) -> list[Any]:
        """Number of keys, keys and arguments of the script."""
        arguments: list[Any] = [1 + len(self.tiles) + len(self.marks), positions_key, *self.tiles, *self.marks]
        arguments.append(len(self.moves))
        for partition, (expected, following) in self.moves.items():
            arguments += (partition, "" if expected is None else expected, following)
        arguments.append(len(self.tiles))
        for key, tiles in self.tiles.items():
            erased = self.erased.get(key, ())
            arguments += (self.ttls_ms[key], len(erased), *erased, len(tiles), *_flat(tiles))
        arguments.append(len(self.marks))
        for marks in self.marks.values():
            arguments += (len(marks), *_flat(marks))
        return arguments


FENCE_BYTES = 9


def _flat(pairs: Mapping[Any, Any]) -> list[Any]:
    return [part for pair in pairs.items() for part in pair]
