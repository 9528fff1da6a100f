"""bighead: the SDK of the platform, and the only package that users import."""
