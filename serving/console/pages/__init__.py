"""One module for each kind of page: `routes(site)` gives its addresses, pure functions what its templates show."""
