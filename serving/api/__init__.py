"""The registry over HTTP, and who may use it: it translates, and decides nothing. Lives in the console's process."""
