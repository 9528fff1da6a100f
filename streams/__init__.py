"""streams: part of the bighead platform."""
