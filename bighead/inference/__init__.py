"""Registered models as functions of rows: fetched, verified, proven and run, in whatever process asks for it."""
