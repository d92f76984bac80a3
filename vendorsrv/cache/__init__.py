"""Answers that are kept for a time.

Other packages use ``answers.build_cache``.
"""
