"""batch: part of the bighead platform."""
