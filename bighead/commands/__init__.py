"""What `bighead` runs: one module per group; each translates arguments into calls and answers into text or JSON."""
