"""The registry's writer as a process of its own, to be killed: `python -m tests.integration.registry_process`."""

import threading

from bighead import config
from streams.registry import RegistryWriter

if __name__ == "__main__":
    RegistryWriter(config.load()).run(threading.Event())
