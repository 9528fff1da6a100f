"""Definition to SQL text for each engine. No engine is imported here."""
