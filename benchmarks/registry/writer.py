"""The registry's writer as a process: says {} as soon as it decides, and ends when its input does."""

import sys
import threading

from bighead import config
from bighead.testing import eventually
from streams.registry import RegistryWriter, WriterState

_READY_S = 300.0


def main() -> None:
    """Runs with the settings of the environment."""
    writer, stop = RegistryWriter(config.load()), threading.Event()
    thread = threading.Thread(target=writer.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: writer.state is WriterState.DECIDING, _READY_S, 0.02)
        print("{}", flush=True)
        sys.stdin.read()
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
