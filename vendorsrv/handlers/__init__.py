"""The enabled handlers, each run within its bounds."""
