"""Fetches the JVM parts of infra/jvm/jars.txt into .jvm/, verified by SHA-256: once, then never again.

Run by `make`; the work is done by bighead.local.jars.
"""

import argparse
import sys

from bighead.errors import BigheadError
from bighead.local import flink, jars


def main() -> int:
    """Fetches the default parts, and those asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--with",
        dest="extra",
        action="append",
        default=[],
        metavar="PART",
        help="also fetch PART (flink, which is compiled as well)",
    )
    extra = parser.parse_args().extra
    try:
        folder = jars.ensure([*jars.DEFAULT_PARTS, *extra], lambda line: print(line, flush=True))
        if "flink" in extra:
            flink.class_path(lambda line: print(line, flush=True))
    except BigheadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"JVM files are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
