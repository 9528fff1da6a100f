"""The embedded platform: every part on this machine, started, probed, supervised and stopped.

Knows processes, ports and folders; the parts themselves know nothing of it.
"""
