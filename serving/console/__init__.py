"""The web console: pages over the log and the probes. It shows; it decides nothing."""
