"""Generated from proto/ by infra/codegen.py: protobuf message classes."""
