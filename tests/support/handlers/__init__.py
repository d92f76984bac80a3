"""Handlers for the tests of the server: good ones, and every kind of broken one."""
