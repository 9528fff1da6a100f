"""client: what a service or a notebook calls: publish, predict, read features, command models."""
