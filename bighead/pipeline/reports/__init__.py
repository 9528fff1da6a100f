"""Reports of a trained model for people and for its record: how good it is, on whom it is bad, and what it looks at."""
