"""`python -m bighead.pipeline.checks` writes docs/checks.md to its output."""

import sys

from bighead.pipeline.checks.documentation import markdown

sys.stdout.write(markdown())
