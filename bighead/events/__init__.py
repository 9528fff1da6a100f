"""Typed events: classes, Avro codec, topic table, headers, log reading and the guard of every consumer."""
