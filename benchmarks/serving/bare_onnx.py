"""The floor of batches: ONNX Runtime alone, as the server runs it, over one batch again and again.

`python -m benchmarks.serving.bare_onnx MODEL ROWS`: for each line with a number of seconds it answers how many rows a
second it did.
"""

import json
import os
import sys
import time

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import
import onnxruntime

from benchmarks.serving.models import batch_of


def main() -> None:
    """Answers until its input ends."""
    path, rows = sys.argv[1], int(sys.argv[2])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = {"x": batch_of(rows)}
    session.run(None, feeds)
    print("{}", flush=True)
    for line in sys.stdin:
        seconds, done, first = float(line), 0, time.perf_counter()
        while (passed := time.perf_counter() - first) < seconds:
            session.run(None, feeds)
            done += rows
        print(json.dumps({"rows/s": done / passed}), flush=True)


if __name__ == "__main__":
    main()
