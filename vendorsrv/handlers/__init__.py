"""The enabled handlers, each run within its bounds.

Other packages use ``registry.Registry``, ``responder.Responder``.
"""
