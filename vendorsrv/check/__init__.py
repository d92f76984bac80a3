"""The checks of a configuration before it is used: vendorsrv's own files, and Nova's side of them."""
