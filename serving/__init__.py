"""serving: part of the bighead platform."""
