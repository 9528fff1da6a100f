"""The examples of the guide to predictions run as they stand, but for the addresses."""

import re
import subprocess
import sys
from pathlib import Path

from tests.unit.serving.elsewhere import models
from tests.unit.serving.running import running

GUIDE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
# The library's needs a registry and no server: test_batch_predictions runs it.
EXAMPLES = re.findall(r"^```python\n(?!from bighead.inference )(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
EXPECTED = ["[[2.0], [4.0]]", "1 {'y': 3.0}", "{'y': [2.0, 4.0, nan]}", "1 {'y': 5.0} 3.0 {'x': 2.0}"]


def test_every_example_of_the_guide_runs(tmp_path: Path) -> None:
    with running(models(tmp_path)) as addresses:
        for example, expected in zip(EXAMPLES, EXPECTED, strict=True):
            source = example.replace("127.0.0.1:18500", addresses.grpc).replace("127.0.0.1:18501", addresses.http)
            # A process of its own: tritonclient and the platform bring the same message types under other file names.
            run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60)
            assert run.stdout.strip() == expected, run.stderr
