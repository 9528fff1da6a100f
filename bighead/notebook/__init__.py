"""What is seen of the library in a notebook or a terminal: HTML with a text beside it, progress, short errors."""
