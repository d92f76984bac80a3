"""Answers that are kept for an instance's life.

Other packages use ``pin.Pins``, opened by ``service.PinService``; ``admin.PinAdmin`` for operators.
"""
