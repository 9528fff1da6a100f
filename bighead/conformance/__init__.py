"""Whether a server speaks the Open Inference Protocol: cases for every RPC and datatype, and what runs them.

Knows the protocol and no server: it shares no code with ours, and takes any address.
"""
