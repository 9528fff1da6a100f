"""What people write on the command line of a partitioned model."""

import pytest
from click.testing import CliRunner

from bighead.cli import main
from bighead.commands.segments import segment_of, told
from bighead.errors import InvalidInput
from bighead.registry.state import Segments


def test_a_segment_is_a_key_a_value_and_a_version() -> None:
    assert segment_of("carrier=AA:4") == ("carrier=AA", 4)
    assert segment_of("city=a:b=c:12") == ("city=a:b=c", 12)


@pytest.mark.parametrize("text", ["carrier=AA", "AA:4", "carrier=AA:v4", "carrier=AA:", ":4", ""])
def test_what_is_no_segment_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected KEY=VALUE:VERSION"):
        segment_of(text)


def test_segments_are_told_in_the_order_of_the_hierarchy() -> None:
    partitioned = Segments(("carrier", "region"), {"region=EU": 3, "carrier=UA": 2, "carrier=AA": 4})
    assert told(partitioned) == (
        "carrier=AA: version 4, carrier=UA: version 2, region=EU: version 3, else the live version"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected segments such as"),
        (["carrier=AA:4", "--none"], "expected segments such as"),
        (["carrier=AA:4", "carrier=AA:5"], "a segment is named twice"),
    ],
)
def test_wrong_use_is_named_before_anything_is_sent(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(main, ["models", "segments", "delay", *arguments, "--reason", "test"])
    assert result.exit_code == 2
    assert expected in result.output
